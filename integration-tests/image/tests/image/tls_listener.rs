//! A server that listens to how a client begins, and says nothing.

use std::{
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{self, Receiver},
    thread::{self, JoinHandle},
};

/// Takes the first message of each connection and hangs up, until it is dropped.
pub(crate) struct TlsListener {
    address: SocketAddr,
    messages: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<()>>,
}

impl TlsListener {
    /// At a free port of that address.
    pub(crate) fn start(address: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (send, messages) = mpsc::channel();
        let thread = thread::spawn(move || {
            while let Some(message) = first_record(listener.accept().unwrap().0) {
                if send.send(message).is_err() {
                    break;
                }
            }
        });
        Self { address, messages, thread: Some(thread) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// What the client of the first connection there was has sent.
    pub(crate) fn first_message(&self) -> Option<Vec<u8>> {
        self.messages.try_recv().ok()
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        // A connection that brings no message ends it.
        drop(TcpStream::connect(self.address).unwrap());
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The body of a handshake record.
fn first_record(mut connection: TcpStream) -> Option<Vec<u8>> {
    let mut header = [0; 5];
    connection.read_exact(&mut header).ok()?;
    let [HANDSHAKE, _, _, high, low] = header else { return None };
    let mut body = vec![0; usize::from(u16::from_be_bytes([high, low]))];
    connection.read_exact(&mut body).ok()?;
    Some(body)
}

/// A record's type; RFC 8446, 5.1.
const HANDSHAKE: u8 = 22;
