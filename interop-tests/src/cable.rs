//! A cable between browser and gateway that a test can pull: TCP, octet for octet.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};

use crate::Result;

/// Forwards every connection to one address.
#[derive(Debug)]
pub struct Cable {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
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
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let connection = tokio::spawn(forward(near, to)).abort_handle();
                book.lock().expect("no panic while held").push(connection);
            }
        });
        Ok(Self {
            address,
            connections,
            task,
        })
    }

    /// Where to connect instead.
    pub fn address(&self) -> SocketAddr {
        self.address
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

async fn forward(mut near: TcpStream, to: SocketAddr) {
    if let Ok(mut far) = TcpStream::connect(to).await {
        // Ends when either side does, or when the cable is pulled.
        drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
    }
}
