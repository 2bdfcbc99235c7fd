//! Distinct values, numbered in the order in which they come.

use std::collections::HashMap;
use std::hash::Hash;

/// Gives equal values equal numbers, from 0 on.
pub(super) struct Interner<T> {
    numbers: HashMap<T, usize>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
        }
    }
}

impl<T: Eq + Hash> Interner<T> {
    /// The number of `value`.
    pub(super) fn intern(&mut self, value: T) -> usize {
        let next = self.numbers.len();
        *self.numbers.entry(value).or_insert(next)
    }

    /// How many distinct values there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The values in the order of their numbers.
    pub(super) fn into_values(self) -> Vec<T> {
        let mut values: Vec<_> = self.numbers.into_iter().collect();
        values.sort_unstable_by_key(|(_, number)| *number);
        values.into_iter().map(|(value, _)| value).collect()
    }
}
