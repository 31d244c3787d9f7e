//! The control socket: other calls of the program ask the running one, one line of JSON there and one back.

use std::{
    fs, io,
    net::IpAddr,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::UnixStream as BlockingStream,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use overlay_types::MacAddr;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use crate::{
    STATUS_USAGE,
    capture::{Source, Wanted},
    state::State,
};

/// The longest question.
const REQUEST: u64 = 1 << 18;
/// How long somebody who has connected may take to ask, and to read the answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A question to the running endpoint.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    Show {
        what: Shown,
        segment: Option<String>,
    },
    FdbAdd {
        mac: MacAddr,
        remote: IpAddr,
        segment: Option<String>,
    },
    FdbDel {
        mac: MacAddr,
        remote: Option<IpAddr>,
        segment: Option<String>,
    },
    FdbFlush {
        segment: Option<String>,
        remote: Option<IpAddr>,
        learned: bool,
    },
    NeighborAdd {
        ip: IpAddr,
        mac: MacAddr,
        segment: Option<String>,
    },
    NeighborDel {
        ip: IpAddr,
        mac: Option<MacAddr>,
        segment: Option<String>,
    },
    /// A frame from the TAP, or a datagram from a remote with this outer ECN field; in hexadecimal digits.
    Explain {
        segment: Option<String>,
        from: Option<IpAddr>,
        ecn: u8,
        bytes: String,
    },
    /// The interfaces, and behind that line what is recorded, until the one who asked closes its half.
    Capture(Wanted),
}

/// What `show` shows.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Shown {
    Segments,
    Fdb,
    Neighbors,
    Remotes,
    Stats,
}

/// The answer: a value, or why not and the exit status that goes with it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Response {
    Done(Value),
    Refused { status: u8, reason: String },
}

impl Response {
    /// The question was wrong.
    pub(crate) fn wrong(reason: String) -> Self {
        Self::Refused { status: STATUS_USAGE, reason }
    }
}

/// The socket's end in the running endpoint. The file goes when this goes.
pub(crate) struct Listener {
    path: PathBuf,
    socket: std::os::unix::net::UnixListener,
}

impl Listener {
    /// Makes the socket, for its owner only; one that a dead endpoint has left is replaced.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(file) if !file.file_type().is_socket() => {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "exists and is no socket"));
            }
            Ok(_) if BlockingStream::connect(path).is_ok() => {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another tap-vtep listens there"));
            }
            Ok(_) => fs::remove_file(path)?,
            Err(_) => {}
        }
        // Made with no right for anybody else, not narrowed afterwards.
        let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let bound = std::os::unix::net::UnixListener::bind(path);
        rustix::process::umask(mask);
        let socket = bound?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        socket.set_nonblocking(true)?;
        Ok(Self { path: path.to_owned(), socket })
    }

    /// Answers for ever.
    pub(crate) async fn serve(&self, state: Arc<State>) -> io::Result<()> {
        let listener = UnixListener::from_std(self.socket.try_clone()?)?;
        loop {
            match listener.accept().await {
                Ok((mut stream, _)) => {
                    let state = Arc::clone(&state);
                    tokio::spawn(async move {
                        // Whoever hangs up or takes too long has no answer to complain about.
                        if let Ok(Ok(Some(source))) = timeout(PATIENCE, answer(&mut stream, &state)).await {
                            let _ = source.stream(stream).await;
                        }
                    });
                }
                // Out of descriptors, most likely: it passes.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It may have been removed already.
        let _ = fs::remove_file(&self.path);
    }
}

/// Answers one question; a capture begins with that.
async fn answer(stream: &mut UnixStream, state: &Arc<State>) -> io::Result<Option<Source>> {
    let (reading, mut writing) = stream.split();
    let mut line = String::new();
    BufReader::new(reading.take(REQUEST)).read_line(&mut line).await?;
    let mut source = None;
    let response = match serde_json::from_str(&line) {
        Ok(Request::Capture(wanted)) => match Source::start(state, wanted).await {
            Ok((started, interfaces)) => {
                source = Some(started);
                Response::Done(interfaces)
            }
            Err(refused) => refused,
        },
        Ok(request) => state.answer(request),
        Err(error) => Response::wrong(format!("not a question that this version understands: {error}")),
    };
    let mut text = serde_json::to_vec(&response)?;
    text.push(b'\n');
    writing.write_all(&text).await?;
    if source.is_none() {
        writing.shutdown().await?;
    }
    Ok(source)
}

/// Asks the endpoint that runs behind `path`.
pub(crate) fn ask(path: &Path, request: &Request) -> io::Result<Response> {
    use std::io::{BufRead as _, Write as _};

    let mut stream = BlockingStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut line = String::new();
    io::BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}
