//! Networks as a sorted row of places where what is said changes: a look-up is one binary search,
//! however many networks there are and however they lie in each other.

/// An address as a number.
pub trait Place: Copy + Ord {
    /// The next one; `None` behind the last.
    fn next(self) -> Option<Self>;
}

impl Place for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Place for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// From a place on, until the next one: the note of the innermost network and its bits.
#[derive(Clone, Copy, Debug)]
struct Step<T> {
    place: T,
    says: Option<(u32, u8)>,
}

/// The row.
#[derive(Debug)]
pub struct Ranges<T>(Vec<Step<T>>);

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Place> Ranges<T> {
    /// Of networks (first address, last address, note, bits), sorted by first address, the outer
    /// before the inner; two of them lie in each other or apart.
    pub fn of(networks: impl Iterator<Item = (T, T, u32, u8)>) -> Self {
        let mut row = Self::default();
        let mut open: Vec<(T, (u32, u8))> = Vec::new();
        for (first, last, note, bits) in networks {
            row.close(&mut open, |end| end < first);
            row.change(first, Some((note, bits)));
            open.push((last, (note, bits)));
        }
        row.close(&mut open, |_| true);
        row.0.shrink_to_fit();
        row
    }

    /// Goes back to the outer network behind each inner one that has ended.
    fn close(&mut self, open: &mut Vec<(T, (u32, u8))>, has_ended: impl Fn(T) -> bool) {
        while let Some((last, _)) = open.pop_if(|(last, _)| has_ended(*last)) {
            if let Some(behind) = last.next() {
                self.change(behind, open.last().map(|(_, outer)| *outer));
            }
        }
    }

    /// What is said of the same place later is what counts.
    fn change(&mut self, place: T, says: Option<(u32, u8)>) {
        self.0.pop_if(|last| last.place == place);
        self.0.push(Step { place, says });
    }

    /// The note and bits of the innermost network that an address is in.
    pub fn find(&self, address: T) -> Option<(u32, u8)> {
        let behind = self.0.partition_point(|step| step.place <= address);
        self.0.get(behind.checked_sub(1)?)?.says
    }

    /// Bytes it takes.
    pub fn memory(&self) -> usize {
        self.0.capacity() * size_of::<Step<T>>()
    }
}
