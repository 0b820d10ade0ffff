//! Which name an address was found under, from DNS answers. Bounded: the oldest go first.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use crate::event::network::dns::Dns;

/// Addresses remembered.
const ADDRESSES_MAX: usize = 16_384;

/// Names of addresses.
#[derive(Debug, Default)]
pub struct Resolved {
    names: HashMap<IpAddr, Arc<str>>,
    order: VecDeque<IpAddr>,
}

impl Resolved {
    /// Learns from a DNS message.
    pub fn apply(&mut self, dns: &Dns) {
        let Ok(message) = &dns.message else { return };
        let Some(question) = message.questions.first() else {
            return;
        };
        let name: Arc<str> = question.name.as_str().into();
        for address in message.addresses() {
            if self.names.insert(address, Arc::clone(&name)).is_none() {
                self.order.push_back(address);
            }
        }
        while self.order.len() > ADDRESSES_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.names.remove(&oldest);
            }
        }
    }

    /// The name an address was last found under.
    #[must_use]
    pub fn name(&self, address: IpAddr) -> Option<&str> {
        self.names.get(&address).map(|name| &**name)
    }
}
