//! The store that is in force, handed from the thread that makes stores to those that look at
//! them: who looks pays one atomic load as long as nothing has changed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::store::Store;

/// Where the store in force is.
#[derive(Debug, Default)]
pub struct Shared {
    store: Mutex<Arc<Store>>,
    version: AtomicU64,
}

impl Shared {
    /// The store in force.
    #[must_use]
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another one in force.
    pub fn publish(&self, store: Arc<Store>) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = store;
        self.version.fetch_add(1, Ordering::Release);
    }

    /// How often another one was put in force.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}

/// Looks at the store in force.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    store: Arc<Store>,
    version: u64,
}

impl Reader {
    /// Of this place.
    #[must_use]
    pub fn of(shared: Arc<Shared>) -> Self {
        Self {
            version: shared.version(),
            store: shared.store(),
            shared,
        }
    }

    /// The store in force now.
    pub fn store(&mut self) -> &Store {
        let version = self.shared.version();
        if version != self.version {
            self.version = version;
            self.store = self.shared.store();
        }
        &self.store
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::{Builder, Note};
    use super::super::subject::Subject;
    use super::*;

    #[test]
    fn readers_see_the_store_that_is_in_force() {
        let shared = Arc::new(Shared::default());
        let mut reader = Reader::of(Arc::clone(&shared));
        assert!(reader.store().is_empty());
        let mut builder = Builder::default();
        let note = builder.note(Note {
            list: "x".into(),
            title: "".into(),
            id: Box::default(),
            technique: None,
            tactic: None,
            confidence: 50,
            until: 10,
            blocks: false,
        });
        builder.add(&Subject::parse("192.0.2.1").unwrap(), note);
        shared.publish(Arc::new(builder.finish()));
        assert!(
            reader
                .store()
                .address("192.0.2.1".parse().unwrap(), 1)
                .is_some()
        );
    }
}
