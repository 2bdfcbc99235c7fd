//! Where values were first seen, to find those that come twice.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use super::source::Span;

/// Up to here a search is faster than a hash, and most lists end before.
const FEW: usize = 12;

/// The first place of each value.
pub struct FirstSeen<K> {
    few: Vec<(K, Span)>,
    many: HashMap<K, Span>,
}

impl<K: Eq + Hash> FirstSeen<K> {
    pub fn new() -> Self {
        Self {
            few: Vec::new(),
            many: HashMap::new(),
        }
    }

    /// Remembers `key`, or returns where it was seen before.
    pub fn insert(&mut self, key: K, span: Span) -> Option<Span> {
        if self.few.len() == FEW {
            self.many.extend(self.few.drain(..));
        }
        if !self.many.is_empty() {
            return match self.many.entry(key) {
                Entry::Occupied(first) => Some(*first.get()),
                Entry::Vacant(free) => {
                    free.insert(span);
                    None
                }
            };
        }
        if let Some((_, first)) = self.few.iter().find(|(seen, _)| *seen == key) {
            return Some(*first);
        }
        self.few.push((key, span));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_is_found_in_short_and_long_lists() {
        for count in [1, FEW - 1, FEW, FEW + 1, 100] {
            let mut seen = FirstSeen::new();
            for key in 0..count {
                assert_eq!(
                    seen.insert(key, Span::new(key, key)),
                    None,
                    "{key} of {count}"
                );
            }
            for key in 0..count {
                let first = seen.insert(key, Span::new(key, key));
                assert_eq!(first, Some(Span::new(key, key)), "{key} of {count}");
            }
        }
    }
}
