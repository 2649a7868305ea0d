//! What became of the messages of one sender, told by their numbers.

use std::collections::BTreeSet;

/// Counts what came out of order or twice, and knows what has not come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The number after the greatest that has come.
    next: u64,
    /// Smaller ones that have not.
    missing: BTreeSet<u64>,
    /// Came after a later one.
    pub overtaken: u64,
    /// Came again.
    pub doubled: u64,
}

impl Order {
    /// Takes the number of a message that came. Returns whether it is new.
    pub fn take(&mut self, number: u64) -> bool {
        if number >= self.next {
            self.missing.extend(self.next..number);
            self.next = number + 1;
            return true;
        }
        let is_new = self.missing.remove(&number);
        match is_new {
            true => self.overtaken += 1,
            false => self.doubled += 1,
        }
        is_new
    }

    /// How many of the first `sent` have not come.
    pub fn lost(&self, sent: u64) -> u64 {
        self.missing.len() as u64 + sent.saturating_sub(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(numbers: &[u64]) -> Order {
        let mut order = Order::default();
        for number in numbers {
            order.take(*number);
        }
        order
    }

    #[test]
    fn what_comes_in_order_is_fine() {
        assert_eq!(after(&[0, 1, 2]), Order { next: 3, ..Order::default() });
        assert_eq!(after(&[0, 1, 2]).lost(3), 0);
    }

    #[test]
    fn losses_doubles_and_overtaking_are_told_apart() {
        let order = after(&[0, 2, 1, 1, 5]);
        assert_eq!((order.overtaken, order.doubled, order.lost(7)), (1, 1, 3));
    }
}
