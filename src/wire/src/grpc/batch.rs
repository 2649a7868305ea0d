//! Batches: what one gRPC message of a link carries, many frames and the credits that go the other way.

use std::collections::VecDeque;

use prost::Message;

use crate::proto;

/// How many frames one batch carries at most.
pub(super) const BATCH_FRAMES_MAX: usize = 256;
/// A batch is sent when it has reached this many bytes; it is larger by one frame at most.
pub(super) const BATCH_BYTES: usize = 256 * 1024;

/// A generated message of frames and credits.
pub(super) trait Batch: Send + 'static {
    /// The generated type of a frame.
    type Frame: Message;

    /// Joins the two.
    fn new(frames: Vec<Self::Frame>, credits: u32) -> Self;
    /// Takes it apart: frames and credits.
    fn into_parts(self) -> (Vec<Self::Frame>, u32);
}

macro_rules! batches {
    ($($batch:ident of $frame:ident,)*) => {
        $(impl Batch for proto::$batch {
            type Frame = proto::$frame;

            fn new(frames: Vec<Self::Frame>, credits: u32) -> Self {
                Self { frames, credits }
            }

            fn into_parts(self) -> (Vec<Self::Frame>, u32) {
                (self.frames, self.credits)
            }
        })*
    };
}

batches! {
    ToRouterBatch of ToRouter,
    ToManagerBatch of ToManager,
    ToOwnerBatch of ToOwner,
    FromOwnerBatch of FromOwner,
}

/// Takes frames from the front of `outbox` until they are [`BATCH_BYTES`].
pub(super) fn next_batch<B: Batch>(outbox: &mut VecDeque<B::Frame>, credits: u32) -> B {
    let mut frames = Vec::with_capacity(outbox.len());
    let mut bytes = 0;
    while bytes < BATCH_BYTES {
        let Some(frame) = outbox.pop_front() else { break };
        bytes += frame.encoded_len();
        frames.push(frame);
    }
    B::new(frames, credits)
}

#[cfg(test)]
mod tests {
    use vesta_xmpp::{Envelope, MessageType, StanzaType};

    use super::*;

    fn frame(bytes: usize) -> proto::ToRouter {
        let mut stanza = Envelope::new(StanzaType::Message(MessageType::Chat));
        stanza.content = vec![b'x'; bytes].into();
        let register = proto::to_router::Register { stanza: Some(stanza.into()), ..Default::default() };
        proto::ToRouter { frame: Some(proto::to_router::Frame::Register(register)) }
    }

    #[test]
    fn a_batch_is_larger_than_its_limit_by_one_frame_at_most() {
        let mut outbox: VecDeque<_> = [100 * 1024, 100 * 1024, 200 * 1024, 10].into_iter().map(frame).collect();
        let batch: proto::ToRouterBatch = next_batch(&mut outbox, 7);
        assert_eq!((batch.frames.len(), batch.credits), (3, 7));
        let batch: proto::ToRouterBatch = next_batch(&mut outbox, 0);
        assert_eq!((batch.frames.len(), outbox.len()), (1, 0));
    }
}
