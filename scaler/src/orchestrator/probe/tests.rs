//! Probes against servers with all kinds of answers.

use std::{collections::BTreeMap, convert::Infallible, io::ErrorKind};

use ::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tailback_config::{GrpcProbe, HttpProbe};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

fn grpc(service: &str) -> Readiness {
    Readiness::Grpc(GrpcProbe {
        service: service.into(),
    })
}

async fn probed_at(authority: &str, ready: &Readiness) -> Result<(), String> {
    let found = probe(Target::new(authority), ready, PATIENCE).await;
    found.map_err(|why| why.to_string())
}

/// The result of a probe that gets `answer` and a closed connection, and the request that it
/// sent.
async fn probed(ready: &Readiness, answer: &'static str) -> (Result<(), String>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).await.unwrap_or(0);
        match stream.write_all(answer.as_bytes()).await {
            Ok(()) => stream.shutdown().await.unwrap_or(()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::BrokenPipe),
        }
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    let found = probed_at(&authority, ready).await;
    (found, server.await.unwrap())
}

#[tokio::test]
async fn an_answer_counts_though_the_connection_ends_with_it() {
    let ready = Readiness::path("/health");
    for _ in 0..50 {
        for answer in [
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
            "HTTP/1.0 200 OK\r\n\r\nok",
            "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 500\r\n\r\nok",
        ] {
            assert_eq!(probed(&ready, answer).await.0, Ok(()), "{answer}");
        }
    }
}

#[tokio::test]
async fn the_result_of_a_probe_is_reported() {
    let ready = Readiness::path("/health");
    let loading =
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let (found, _) = probed(&ready, loading).await;
    assert_eq!(
        found,
        Err("GET /health answered 503 Service Unavailable".into())
    );
    let (found, _) = probed(&ready, "").await;
    assert!(
        found
            .unwrap_err()
            .starts_with("GET /health got no response")
    );
    let (found, _) = probed(&ready, "SSH-2.0-x\r\n").await;
    assert!(
        found
            .unwrap_err()
            .starts_with("GET /health got no response")
    );
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = gone.local_addr().unwrap().to_string();
    drop(gone);
    for ready in [ready, Readiness::Tcp, grpc("")] {
        let why = probed_at(&authority, &ready).await.unwrap_err();
        assert!(why.starts_with("cannot connect to 127.0.0.1:"), "{why}");
    }
    assert_eq!(probed_at(&authority, &Readiness::None).await, Ok(()));
}

#[tokio::test]
async fn headers_and_codes_are_those_of_the_setting() {
    let ready = Readiness::Http(HttpProbe {
        path: "/up?a=1".into(),
        headers: BTreeMap::from([("authorization".into(), "Bearer x".into())]),
        codes: vec![401, 204],
    });
    let (found, asked) = probed(&ready, "HTTP/1.1 401 Unauthorized\r\n\r\n").await;
    assert_eq!(found, Ok(()));
    assert!(asked.starts_with("GET /up?a=1 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: Bearer x\r\n"), "{asked}");
    let (found, _) = probed(&ready, "HTTP/1.1 200 OK\r\n\r\n").await;
    assert_eq!(found, Err("GET /up?a=1 answered 200 OK".into()));
    let (found, _) = probed(&Readiness::Tcp, "").await;
    assert_eq!(found, Ok(()));
}

/// A gRPC server that answers every call with `status` as health status, or with this gRPC code.
async fn health(answer: Result<u8, u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(move |request: Request<Incoming>| async move {
                let found = request.uri().path() == "/grpc.health.v1.Health/Check";
                let (message, code) = match answer {
                    Ok(status) if found => (Bytes::from(vec![0, 0, 0, 0, 2, 8, status]), 0),
                    Ok(_) => (Bytes::new(), 12),
                    Err(code) => (Bytes::new(), code),
                };
                let trailers = HeaderMap::from_iter([(
                    HeaderName::from_static("grpc-status"),
                    HeaderValue::from(u16::from(code)),
                )]);
                let body = Full::new(message).with_trailers(async { Some(Ok(trailers)) });
                let response = Response::builder().header("content-type", "application/grpc");
                Ok::<_, Infallible>(response.body(body).unwrap())
            });
            let connection = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    authority
}

#[tokio::test]
async fn grpc_health_is_serving_or_the_answer_is_reported() {
    for (answer, service, expected) in [
        (Ok(1), "", Ok(())),
        (Ok(1), "a.B", Ok(())),
        (Ok(2), "", Err("gRPC health answered NOT_SERVING")),
        (Ok(0), "a.B", Err("gRPC health of a.B answered UNKNOWN")),
        (
            Ok(3),
            "a.B",
            Err("gRPC health of a.B does not know the service"),
        ),
        (
            Err(5),
            "a.B",
            Err("gRPC health of a.B does not know the service"),
        ),
        (
            Err(12),
            "",
            Err("gRPC health is not implemented there; set ready to another kind of probe"),
        ),
    ] {
        let authority = health(answer).await;
        let found = probed_at(&authority, &grpc(service)).await;
        assert_eq!(
            found,
            expected.map_err(str::to_owned),
            "{answer:?} {service}"
        );
    }
    // If gRPC has a port of its own, that one is probed.
    let authority = health(Ok(1)).await;
    let target = Target {
        http: Address::new("127.0.0.1:1"),
        grpc: Some(Address::new(&authority)),
    };
    assert_eq!(probe(target, &grpc(""), PATIENCE).await, Ok(()));
}

#[tokio::test]
async fn an_address_that_was_looked_up_is_called_by_its_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let target = Target {
        http: Address {
            authority: &authority,
            name: "models.test:80",
        },
        grpc: None,
    };
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    };
    let ready = Readiness::path("/health");
    let (found, request) = tokio::join!(probe(target, &ready, PATIENCE), server);
    assert_eq!(found, Ok(()));
    assert!(
        request.contains("\r\nhost: models.test:80\r\n"),
        "{request}"
    );
}

#[tokio::test]
async fn a_server_of_http1_is_no_grpc_server_and_silence_ends() {
    let (found, _) = probed(&grpc(""), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let why = found.unwrap_err();
    assert!(why.starts_with("gRPC health got no answer"), "{why}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let limit = Duration::from_millis(50);
    for ready in [grpc(""), Readiness::path("/")] {
        let found = probe(Target::new(&authority), &ready, limit).await;
        assert_eq!(found, Err(NotReady::Silent(limit)));
    }
}
