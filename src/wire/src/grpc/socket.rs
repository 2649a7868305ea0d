//! Administration over a Unix socket: whoever may open the file may administer.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::Path;
use std::sync::Arc;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::accept::{ACCEPT_PAUSE, Connection};
use super::access::Peer;
use super::server::{Door, ServeError, Services};
use crate::administration::Administration;

/// How many connections wait to be accepted.
const BACKLOG: i32 = 16;

/// Listens on a Unix socket that only the process's own user may open. The file of a process that is gone is replaced.
///
/// # Errors
/// `AddrInUse` where another process listens there; `AlreadyExists` where the file is no socket; and those of the file
/// system.
pub fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    if let Ok(metadata) = fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is a file of that name, and it is no socket",
            ));
        }
        if BlockingStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Nobody can connect before `listen`: there is no moment in which the file is open to others.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(std::os::unix::net::UnixListener::from(socket))
}

/// Serves administration on a socket made by [`bind_socket`], until `shutdown`.
///
/// # Errors
/// As [`serve`](super::serve).
pub async fn serve_socket(
    listener: UnixListener,
    administration: Arc<dyn Administration>,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let door = Door::new(shutdown.child_token());
    let connections = futures_util::stream::unfold((listener, door.clone()), |(listener, door)| async {
        let room = door.room().await;
        let stream = next_connection(&listener).await;
        Some((Connection::new(stream, Peer::LocalUser, room), (listener, door)))
    });
    door.serve(Services { administration: Some(administration), ..Services::default() }, connections).await
}

async fn next_connection(listener: &UnixListener) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "no connection to the administration socket could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
