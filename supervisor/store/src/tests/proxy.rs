//! A way to a server that is cut at the moment of a commit.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Where the way is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The commit never reaches the server.
    BeforeTheServer,
    /// The commit reaches the server, and its answer is lost.
    BeforeTheAnswer,
}

/// Passes bytes on to the server until somebody commits.
pub async fn cut_at_commit(server: SocketAddr, cut: Cut) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let server = TcpStream::connect(server).await.unwrap();
                let _ = pass(client, server, cut).await;
            });
        }
    });
    address
}

async fn pass(mut client: TcpStream, mut server: TcpStream, cut: Cut) -> std::io::Result<()> {
    let (mut from_client, mut from_server) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            n = client.read(&mut from_client) => {
                let bytes = &from_client[..n?];
                if bytes.is_empty() {
                    return Ok(());
                }
                // A simple query: its tag, its length, the text. Migrations commit too, before they work on `t1`.
                let commits = bytes.windows(7).any(|w| w == b"COMMIT\0");
                if commits && cut == Cut::BeforeTheServer {
                    return Ok(());
                }
                server.write_all(bytes).await?;
                if commits {
                    // The answer is there, so the server has committed; nobody hears it.
                    let _answer = server.read(&mut from_server).await?;
                    return Ok(());
                }
            }
            n = server.read(&mut from_server) => {
                let bytes = &from_server[..n?];
                if bytes.is_empty() {
                    return Ok(());
                }
                client.write_all(bytes).await?;
            }
        }
    }
}
