//! The HTTP server for metrics and health.

use std::{
    convert::Infallible,
    future::pending,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{sync::Semaphore, time::timeout};

use super::exposition::Exposition;
use crate::state::State;

/// The most connections at a time; more wait until one has ended.
const CONNECTIONS: usize = 16;
/// How long a connection may last: whoever asks again makes a new one.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest request, headers included.
const REQUEST: usize = 16 << 10;

/// A socket that listens for scrapes, where there is to be one.
#[derive(Debug, Default)]
pub(crate) struct Server {
    listening: Option<(SocketAddr, TcpListener)>,
}

impl Server {
    /// Where it listens.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listening.as_ref().map(|(address, _)| *address)
    }

    /// Listens there and nowhere else; on an error all is as it was.
    pub(crate) fn listen_on(&mut self, address: Option<SocketAddr>) -> io::Result<()> {
        let before = self.address();
        if address == before {
            return Ok(());
        }
        // The new address may contain the old one: 0.0.0.0.
        self.listening = None;
        match address.map(listen).transpose() {
            Ok(listening) => {
                self.listening = listening;
                Ok(())
            }
            Err(error) => {
                self.listening = before.and_then(|before| listen(before).ok());
                Err(error)
            }
        }
    }

    /// Answers for ever.
    pub(crate) fn serve(&self, state: Arc<State>) -> io::Result<impl Future<Output = Infallible> + use<>> {
        let listener = match &self.listening {
            Some((_, listener)) => Some(tokio::net::TcpListener::from_std(listener.try_clone()?)?),
            None => None,
        };
        Ok(async move {
            match listener {
                Some(listener) => accept(&listener, &state).await,
                None => pending().await,
            }
        })
    }
}

fn listen(address: SocketAddr) -> io::Result<(SocketAddr, TcpListener)> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok((address, listener))
}

async fn accept(listener: &tokio::net::TcpListener, state: &Arc<State>) -> Infallible {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // It is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return pending().await };
        match listener.accept().await {
            Ok((stream, _)) => {
                let state = Arc::clone(state);
                tokio::spawn(async move {
                    let answer = service_fn(|request| {
                        let response = answer(&state, &request);
                        async { Ok::<_, Infallible>(response) }
                    });
                    let mut builder = http1::Builder::new();
                    builder.max_buf_size(REQUEST);
                    // Whoever hangs up or takes too long has no answer to complain about.
                    let _ = timeout(PATIENCE, builder.serve_connection(TokioIo::new(stream), answer)).await;
                    drop(place);
                });
            }
            // Out of descriptors, most likely: it passes.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

fn answer(state: &Arc<State>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, content_type, body) = match request.uri().path() {
        "/metrics" | "/healthz" if !is_read => {
            (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n".to_owned())
        }
        "/metrics" => {
            let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
            let exposition = Exposition::accepted(accept);
            (StatusCode::OK, exposition.content_type(), exposition.of(state))
        }
        "/healthz" => {
            let health = state.health();
            let status = if health.is_well() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, "application/json", format!("{}\n", health.json()))
        }
        _ => (StatusCode::NOT_FOUND, PLAIN, "there are /metrics and /healthz\n".to_owned()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

const PLAIN: &str = "text/plain; charset=utf-8";

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    #[test]
    fn it_listens_where_it_is_told_and_nowhere_else() {
        let free = || listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap().1.local_addr().unwrap();
        let [one, two] = [free(), free()];
        let mut server = Server::default();
        server.listen_on(Some(one)).unwrap();
        assert!(TcpStream::connect(one).is_ok());
        server.listen_on(Some(two)).unwrap();
        assert!(TcpStream::connect(one).is_err() && TcpStream::connect(two).is_ok());
        // All addresses, with the port that one of them has.
        server.listen_on(Some((Ipv4Addr::UNSPECIFIED, two.port()).into())).unwrap();
        assert!(TcpStream::connect(two).is_ok());
        server.listen_on(None).unwrap();
        assert_eq!(server.address(), None);
        assert!(TcpStream::connect(two).is_err());
    }

    #[test]
    fn a_port_that_is_taken_changes_nothing() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut server = Server::default();
        assert!(server.listen_on(Some(taken.local_addr().unwrap())).is_err());
        assert_eq!(server.address(), None);
        let free = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap().1.local_addr().unwrap();
        server.listen_on(Some(free)).unwrap();
        assert!(server.listen_on(Some(taken.local_addr().unwrap())).is_err());
        assert_eq!(server.address(), Some(free));
        assert!(TcpStream::connect(free).is_ok());
    }
}
