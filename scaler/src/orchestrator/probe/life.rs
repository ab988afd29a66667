//! Sign of life: whether a process reacts to a new connection at all.

use std::{io::ErrorKind, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Whether the process that listens at `authority` reacts to a new connection within `limit`. A
/// server of another protocol than HTTP/1.1 answers with an error or closes the connection: also a
/// sign of life. So is a refused connection, because no caller waits for it. An accepted
/// connection alone is none: the kernel accepts connections for a process that hangs.
pub async fn shows_life(authority: &str, limit: Duration) -> bool {
    let request = format!(
        "GET /health HTTP/1.1\r\nhost: {authority}\r\nuser-agent: tailback\r\nconnection: close\r\n\r\n"
    );
    let asked = async {
        let mut stream = match TcpStream::connect(authority).await {
            Ok(stream) => stream,
            Err(error) => return (error.kind() == ErrorKind::ConnectionRefused).then_some(()),
        };
        let asked = async {
            stream.write_all(request.as_bytes()).await?;
            stream.read(&mut [0]).await
        };
        match asked.await {
            Ok(_) => Some(()),
            Err(error) => matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
            )
            .then_some(()),
        }
    };
    matches!(timeout(limit, asked).await, Ok(Some(())))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_answer_and_a_closed_connection_are_signs_of_life_and_an_accepted_one_is_none() {
        let limit = Duration::from_millis(200);
        for (says, expected) in [
            (Some("HTTP/1.1 500 X\r\n\r\n"), true),
            (Some("\x15\x03\x01"), true),
            (Some(""), true),
            (None, false),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let authority = listener.local_addr().unwrap().to_string();
            let server = tokio::spawn(async move {
                if let Some(says) = says {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    stream.write_all(says.as_bytes()).await.unwrap();
                    return None;
                }
                Some(listener)
            });
            assert_eq!(shows_life(&authority, limit).await, expected, "{says:?}");
            drop(server.await);
        }
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = gone.local_addr().unwrap().to_string();
        drop(gone);
        assert!(shows_life(&authority, limit).await, "refused");
    }
}
