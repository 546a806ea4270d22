//! New connections in a closed loop.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
};
use tokio_rustls::TlsConnector;

use crate::{load, server::Server};

const ROUND: Duration = Duration::from_secs(1);
/// As many at once as the most connections of a load.
const LOOPS: usize = 16;

/// What one round came to.
pub(crate) struct Round {
    pub(crate) per_second: f64,
    /// Processor time of the server for one handshake, in microseconds.
    pub(crate) cpu_us: f64,
}

/// Makes full handshakes for one round, and closes each connection at once.
pub(crate) async fn round(server: &Server) -> Result<Round> {
    let connector = TlsConnector::from(Arc::new(server.client(b"http/1.1")?));
    let address = server.address();
    let (cpu, started) = (server.cpu()?, Instant::now());
    let mut loops = JoinSet::new();
    for _ in 0..LOOPS {
        let connector = connector.clone();
        loops.spawn(async move {
            let mut count = 0_u32;
            while started.elapsed() < ROUND {
                let mut stream = load::tls(address, &connector).await?;
                // A client of TLS 1.3 is done before its server is; the server's
                // own goodbye says that it is, too.
                stream.shutdown().await?;
                stream.read_to_end(&mut Vec::new()).await?;
                count += 1;
            }
            anyhow::Ok(count)
        });
    }
    let mut count = 0.0;
    while let Some(ended) = loops.join_next().await {
        count += f64::from(ended??);
    }
    let (cpu, took) = (server.cpu()?.saturating_sub(cpu), started.elapsed());
    Ok(Round { per_second: count / took.as_secs_f64(), cpu_us: cpu.as_secs_f64() * 1e6 / count })
}
