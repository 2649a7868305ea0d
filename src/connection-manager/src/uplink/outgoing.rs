//! What waits to be written to one client, as bytes: encoded once, when it comes.

use vesta_wire::Sequence;

/// Bounds of [`Outgoing`].
#[derive(Clone, Copy, Debug)]
pub(super) struct OutgoingLimits {
    pub(super) bytes: usize,
    pub(super) stanzas: usize,
}

/// What the connection is to write at once.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The XML.
    pub(crate) bytes: Vec<u8>,
    /// The last frame in it, to be given back when it is written.
    pub(crate) last: Sequence,
}

/// See the module's documentation. Owns no buffer while nothing waits.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    waiting: Vec<u8>,
    waiting_stanzas: usize,
    /// How much of it may go out before a place that is kept for a later word: see [`Outgoing::hold`].
    barrier: Option<u32>,
    /// Of what the connection has taken and not yet written.
    writing_bytes: usize,
    writing_stanzas: usize,
}

impl Outgoing {
    /// Whether another stanza may wait. One is let in below the limit, however long it is.
    pub(super) fn has_room(&self, limits: OutgoingLimits) -> bool {
        self.bytes() < limits.bytes && self.waiting_stanzas + self.writing_stanzas < limits.stanzas
    }

    /// Appends a stanza that `write` writes.
    pub(super) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.waiting);
        self.waiting_stanzas += 1;
    }

    /// Keeps the place behind what waits now: what comes later waits until [`Outgoing::release`].
    pub(super) fn hold(&mut self) {
        // What waits is bounded by [`OutgoingLimits`], far below 4 GiB.
        self.barrier.get_or_insert(self.waiting.len() as u32);
    }

    /// Writes into the place that was kept; what is behind it goes on.
    pub(super) fn release(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let behind = self.barrier.take().map(|at| self.waiting.split_off(at as usize));
        write(&mut self.waiting);
        self.waiting.extend_from_slice(&behind.unwrap_or_default());
    }

    /// Takes everything that waits.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        let behind = match &mut self.barrier {
            Some(at) => self.waiting.split_off(std::mem::take(at) as usize),
            None => Vec::new(),
        };
        let bytes = std::mem::replace(&mut self.waiting, behind);
        if bytes.is_empty() {
            return None;
        }
        self.writing_bytes = bytes.len();
        self.writing_stanzas = std::mem::take(&mut self.waiting_stanzas);
        Some(bytes)
    }

    /// What was taken is written.
    pub(super) fn written(&mut self) {
        self.writing_bytes = 0;
        self.writing_stanzas = 0;
    }

    /// Bytes that wait or are being written.
    pub(super) fn bytes(&self) -> usize {
        self.waiting.len() + self.writing_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_can_be_kept_for_what_is_said_later() {
        let mut outgoing = Outgoing::default();
        outgoing.push(|out| out.push(b'a'));
        outgoing.hold();
        outgoing.push(|out| out.push(b'c'));
        assert_eq!(outgoing.take().as_deref(), Some(&b"a"[..]));
        outgoing.written();
        outgoing.push(|out| out.push(b'd'));
        assert_eq!((outgoing.take(), outgoing.bytes()), (None, 2));
        outgoing.release(|out| out.push(b'b'));
        assert_eq!(outgoing.take().as_deref(), Some(&b"bcd"[..]));
    }

    #[test]
    fn what_is_being_written_counts_until_it_is() {
        let limits = OutgoingLimits { bytes: 4, stanzas: 2 };
        let mut outgoing = Outgoing::default();
        outgoing.push(|out| out.extend_from_slice(b"ab"));
        assert!(outgoing.has_room(limits));
        assert_eq!(outgoing.take().as_deref(), Some(&b"ab"[..]));
        outgoing.push(|out| out.push(b'c'));
        assert!(!outgoing.has_room(limits), "two stanzas");
        outgoing.written();
        assert!(outgoing.has_room(limits));
        outgoing.push(|out| out.extend_from_slice(b"def"));
        assert!(!outgoing.has_room(limits), "four bytes");
    }
}
