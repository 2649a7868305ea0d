//! The last words on a connection (RFC 6120 §4.4, §4.9.1.1): what is still to be said, the end tag, TLS's close_notify, and
//! the peer's chance to read it all.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use vesta_xmpp::StreamError;

use super::input;
use super::transport::Transport;

/// The end tag of a stream.
pub(super) const END_TAG: &[u8] = b"</stream:stream>";
/// What is read and thrown away while the peer closes its side.
const IGNORED_BYTES_MAX: usize = 1024 * 1024;

/// Appends the error and the end tag.
pub(super) fn write_error(out: &mut Vec<u8>, error: &StreamError) {
    error.write(out);
    out.extend_from_slice(END_TAG);
}

/// Sends `last`, closes our side and waits until the peer has closed its own: a socket closed with unread input would be
/// reset, and the peer would never read why. All within `timeout`.
pub(super) async fn close(transport: Transport, last: Vec<u8>, timeout: Duration) {
    // Whether it worked makes no difference: the connection is over.
    let _ = tokio::time::timeout(timeout, say_and_wait(transport, last)).await;
}

async fn say_and_wait(mut transport: Transport, last: Vec<u8>) -> io::Result<()> {
    transport.write_all(&last).await?;
    drop(last);
    transport.shutdown().await?;
    let mut ignored = 0;
    while ignored < IGNORED_BYTES_MAX {
        match std::future::poll_fn(|cx| input::poll_read(&mut transport, cx, <[u8]>::len)).await? {
            0 => break,
            count => ignored += count,
        }
    }
    Ok(())
}
