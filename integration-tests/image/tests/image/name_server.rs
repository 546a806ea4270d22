//! A name server that knows one name.

use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

/// Answers at port 53 of a loopback address of its own until it is dropped.
pub(crate) struct NameServer {
    socket: UdpSocket,
    address: Ipv4Addr,
    asked: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// Knows that name, by that address.
    pub(crate) fn start(name: &'static str, found: Ipv4Addr) -> Self {
        // The other tests listen here, too, and those of whoever else is on this machine.
        let bind = |host| {
            let address = Ipv4Addr::new(127, 53, 53, host);
            Some((UdpSocket::bind((address, 53)).ok()?, address))
        };
        let (socket, address) = (1..=254).find_map(bind).expect("port 53 can be bound");
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let thread = {
            let (socket, asked) = (socket.try_clone().unwrap(), Arc::clone(&asked));
            thread::spawn(move || {
                let mut buffer = [0; 512];
                loop {
                    let (length, client) = socket.recv_from(&mut buffer).unwrap();
                    let Some(question) = Question::read(&buffer[..length]) else { break };
                    asked.lock().unwrap().push(question.name.clone());
                    socket.send_to(&question.answer(name, found), client).unwrap();
                }
            })
        };
        Self { socket, address, asked, thread: Some(thread) }
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Every name it was asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // What is no question ends it.
        self.socket.send_to(&[], (self.address, 53)).unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// What a client asks, as RFC 1035 writes it.
struct Question<'a> {
    /// The header's first two bytes, by which the client knows the answer.
    id: &'a [u8],
    name: String,
    kind: u16,
    /// As it was asked; an answer repeats it.
    section: &'a [u8],
}

impl<'a> Question<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        let questions = message.get(HEADER..)?;
        let mut labels = Vec::new();
        let mut at = 0;
        while let length @ 1.. = usize::from(*questions.get(at)?) {
            labels.push(str::from_utf8(questions.get(at + 1..=at + length)?).ok()?);
            at += 1 + length;
        }
        let (kind, end) = (questions.get(at + 1..at + 3)?, at + 5);
        Some(Self {
            id: &message[..2],
            name: labels.join("."),
            kind: u16::from_be_bytes([kind[0], kind[1]]),
            section: questions.get(..end)?,
        })
    }

    fn answer(&self, known: &str, found: Ipv4Addr) -> Vec<u8> {
        let is_known = self.name == known;
        let records = u8::from(is_known && self.kind == ADDRESS);
        let code = if is_known { 0 } else { NO_SUCH_NAME };
        // An authoritative answer; one question, that many records.
        let mut message = self.id.to_vec();
        message.extend([0x85, 0x80 | code, 0, 1, 0, records, 0, 0, 0, 0]);
        message.extend(self.section);
        if records == 1 {
            // The question's name, an address of the internet for a minute.
            message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            message.extend(found.octets());
        }
        message
    }
}

const HEADER: usize = 12;
const ADDRESS: u16 = 1;
const NO_SUCH_NAME: u8 = 3;
