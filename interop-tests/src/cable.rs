//! A cable between browser and gateway that a test can pull, that can fall silent, and that can lose a file: TCP, octet for octet.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use crate::Result;

/// The path of a file that does not come.
type Lost = Arc<Mutex<Option<&'static str>>>;

/// Forwards every connection to one address.
#[derive(Debug)]
pub struct Cable {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
    lost: Lost,
    silenced: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Cable {
    /// Lays a cable from a free port of `host` to `to`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn lay(host: IpAddr, to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((host, 0)).await?;
        let address = listener.local_addr()?;
        let connections = Arc::new(Mutex::new(Vec::new()));
        let book = Arc::clone(&connections);
        let lost = Lost::default();
        let loses = Arc::clone(&lost);
        let silenced = watch::Sender::new(0);
        let silence = silenced.clone();
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let connection = forward(near, to, Arc::clone(&loses), silence.subscribe());
                let connection = tokio::spawn(connection).abort_handle();
                book.lock().expect("no panic while held").push(connection);
            }
        });
        Ok(Self {
            address,
            connections,
            lost,
            silenced,
            task,
        })
    }

    /// Where to connect instead.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection on which this file is asked for, from now on; `None`: no longer.
    ///
    /// # Panics
    /// Never: nothing panics while it holds the path.
    pub fn loses(&self, path: Option<&'static str>) {
        *self.lost.lock().expect("no panic while held") = path;
    }

    /// Lets nothing more through on the connections that are up, and tells neither end, as a firewall that has forgotten them; new ones are taken.
    pub fn swallows(&self) {
        self.silenced.send_modify(|times| *times += 1);
    }

    /// Breaks every connection that is up; new ones are taken at once.
    ///
    /// # Panics
    /// Never: nothing panics while it holds the list.
    pub fn pull(&self) {
        for connection in self
            .connections
            .lock()
            .expect("no panic while held")
            .drain(..)
        {
            connection.abort();
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.task.abort();
        self.pull();
    }
}

async fn forward(near: TcpStream, to: SocketAddr, lost: Lost, mut silenced: watch::Receiver<u64>) {
    if let Ok(far) = TcpStream::connect(to).await {
        let (mut from_browser, mut to_browser) = near.into_split();
        let (mut from_gateway, mut to_gateway) = far.into_split();
        tokio::select! {
            // Both ends stay open, until the cable is pulled.
            Ok(()) = silenced.changed() => std::future::pending().await,
            () = requests(&mut from_browser, &mut to_gateway, lost) => {}
            _ = tokio::io::copy(&mut from_gateway, &mut to_browser) => {}
        }
    }
}

/// What the browser says, until it asks for what is lost. A request comes in one piece: browsers write it at once.
async fn requests(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, lost: Lost) {
    let mut piece = [0; 16_384];
    loop {
        let Ok(length @ 1..) = from.read(&mut piece).await else {
            return;
        };
        let path = *lost.lock().expect("no panic while held");
        let asks = |path| piece[..length].starts_with(format!("GET {path} ").as_bytes());
        if path.is_some_and(asks) || to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
