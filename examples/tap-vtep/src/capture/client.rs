//! The client's end of a capture: asks the running endpoint, and writes the file.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::{Instant, sleep_until, timeout},
};

use super::{
    pcapng::{LinkType, Packet, Writer},
    record::{Head, Record},
    source::Wanted,
};
use crate::{
    STATUS_FAILED,
    cli::CaptureOptions,
    control::{PATIENCE, Request, Response},
    show::control_path,
};

/// Read at once.
const CHUNK: usize = 256 << 10;
/// The longest first line.
const LINE: usize = 1 << 20;

/// Why a capture ended before its time, or did not begin.
#[derive(Debug, Error)]
pub(crate) enum CaptureError {
    #[error("no tap-vtep answers at {path}: {error}")]
    Unreachable { path: String, error: io::Error },
    #[error("{reason}")]
    Refused { status: u8, reason: String },
    #[error("{file}: {error}")]
    File { file: String, error: io::Error },
    #[error("the endpoint has ended; {packets} packets are in the file")]
    Ended { packets: u64 },
    #[error("{0}")]
    System(#[from] io::Error),
}

impl CaptureError {
    /// The exit status that goes with it.
    pub(crate) fn status(&self) -> u8 {
        if let Self::Refused { status, .. } = self { *status } else { STATUS_FAILED }
    }
}

/// Captures until it has enough, or is told to end.
pub(crate) fn run(options: &CaptureOptions) -> Result<(), CaptureError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(capture(options))
}

async fn capture(options: &CaptureOptions) -> Result<(), CaptureError> {
    let path = control_path(&options.control.path);
    let asked = ask(path, options);
    let asked = timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let unreachable = |error| CaptureError::Unreachable { path: path.display().to_string(), error };
    let (mut stream, mut waiting, response) = asked.map_err(unreachable)?;
    let interfaces = match response {
        Response::Done(interfaces) => interfaces,
        Response::Refused { status, reason } => return Err(CaptureError::Refused { status, reason }),
    };
    let wrong = |error| CaptureError::File { file: options.file.display().to_string(), error };
    let mut file = CaptureFile::new(options, &interfaces).map_err(wrong)?;
    let mut interrupted = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    // A duration that no clock can count has no end.
    let end = options.duration.and_then(|duration| Instant::now().checked_add(duration));
    let mut is_ending = false;
    loop {
        let lost = match file.take(&mut waiting) {
            Ok(lost) => lost,
            // Whoever reads it has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(wrong(error)),
        };
        if let Some(lost) = lost {
            file.finish(&lost).map_err(wrong)?;
            let lost: u64 = lost.iter().sum();
            // Nobody who reads that is no failure.
            let _ = writeln!(io::stderr(), "{} packets captured, {lost} lost for want of room", file.packets());
            return Ok(());
        }
        if file.is_full() && !is_ending {
            is_ending = true;
            stream.shutdown().await.map_err(unreachable)?;
        }
        let read = tokio::select! {
            read = stream.read_buf(&mut waiting) => read,
            _ = interrupted.recv(), if !is_ending => Ok(usize::MAX),
            _ = terminated.recv(), if !is_ending => Ok(usize::MAX),
            () = at(end), if !is_ending => Ok(usize::MAX),
        };
        match read {
            Ok(usize::MAX) => {
                is_ending = true;
                stream.shutdown().await.map_err(unreachable)?;
            }
            Ok(0) | Err(_) => {
                let packets = file.packets();
                file.finish(&[]).map_err(wrong)?;
                return Err(CaptureError::Ended { packets });
            }
            Ok(_) => {}
        }
    }
}

async fn at(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// The connection, what came behind the answer, and the answer.
async fn ask(path: &Path, options: &CaptureOptions) -> io::Result<(UnixStream, Vec<u8>, Response)> {
    let mut stream = UnixStream::connect(path).await?;
    let mut request = serde_json::to_vec(&Request::Capture(Wanted {
        segment: options.segment.clone(),
        inner: !options.outer,
        outer: !options.inner,
        snaplen: options.snaplen,
    }))?;
    request.push(b'\n');
    stream.write_all(&request).await?;
    let mut waiting = Vec::with_capacity(CHUNK);
    loop {
        let read = stream.read_buf(&mut waiting).await?;
        if let Some(line) = waiting.iter().position(|byte| *byte == b'\n') {
            let response = serde_json::from_slice(&waiting[..line])?;
            waiting.drain(..=line);
            return Ok((stream, waiting, response));
        }
        if read == 0 || waiting.len() > LINE {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The file, and how much of each interface is in it.
struct CaptureFile {
    writer: Writer<io::BufWriter<Box<dyn Write>>>,
    packets: Vec<u64>,
    limit: Option<u64>,
}

impl CaptureFile {
    fn new(options: &CaptureOptions, interfaces: &Value) -> io::Result<Self> {
        let to: Box<dyn Write> = if options.file == Path::new("-") {
            Box::new(io::stdout())
        } else {
            Box::new(File::create(&options.file)?)
        };
        let mut writer = Writer::new(io::BufWriter::new(to), concat!("tap-vtep ", env!("CARGO_PKG_VERSION")))?;
        let interfaces = interfaces.as_array().map_or(&[][..], Vec::as_slice);
        for interface in interfaces {
            let name = interface["name"].as_str().unwrap_or_default();
            let (link, description) = match interface["segment"].as_str() {
                Some(segment) => (LinkType::Ethernet, format!("segment {segment}")),
                None => (LinkType::Raw, "tunnel packets".to_owned()),
            };
            writer.interface(name, &description, link, options.snaplen)?;
        }
        writer.flush()?;
        Ok(Self { writer, packets: vec![0; interfaces.len()], limit: options.count })
    }

    fn packets(&self) -> u64 {
        self.packets.iter().sum()
    }

    fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.packets() >= limit)
    }

    /// Writes the whole records of `waiting`, and takes them from it; behind the last, how many were lost.
    fn take(&mut self, waiting: &mut Vec<u8>) -> io::Result<Option<Vec<u64>>> {
        let mut rest = &waiting[..];
        while let Some((Record { head, comment, bytes }, behind)) = Record::split_from(rest) {
            rest = behind;
            if head.interface == Head::END {
                let (lost, _) = bytes.as_chunks::<8>();
                return Ok(Some(lost.iter().map(|lost| u64::from_le_bytes(*lost)).collect()));
            }
            let is_full = self.is_full();
            if let Some(packets) = self.packets.get_mut(head.interface as usize).filter(|_| !is_full) {
                *packets += 1;
                let Head { interface, time, direction, original, .. } = head;
                self.writer.packet(&Packet { interface, time, direction, original, bytes, comment })?;
            }
        }
        let taken = waiting.len() - rest.len();
        waiting.drain(..taken);
        waiting.reserve(CHUNK);
        self.writer.flush()?;
        Ok(None)
    }

    /// Says at the end how many there were.
    fn finish(&mut self, lost: &[u64]) -> io::Result<()> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        for (interface, packets) in (0..).zip(&self.packets) {
            let lost = lost.get(interface as usize).copied().unwrap_or(0);
            self.writer.statistics(interface, now.as_nanos() as u64, packets + lost, lost)?;
        }
        self.writer.flush()
    }
}
