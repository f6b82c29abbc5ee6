//! Simulated stream sockets: pairs, listeners, connections.

use std::collections::VecDeque;

use super::files::{Files, Object, Queue, POLLHUP, POLLIN, POLLRDHUP, READABLE, WRITABLE};
use crate::sys::Errno;

#[derive(Default)]
pub(super) struct Socket {
    pub(super) received: VecDeque<u8>,
    peer: Option<usize>,
    /// The peer will send no more: its end was closed or shut down.
    ended: bool,
    /// We will send no more.
    silent: bool,
    /// The peer is gone altogether.
    orphan: bool,
    closed: bool,
    /// Connections waiting to be accepted, of a listening socket.
    backlog: Option<VecDeque<usize>>,
    address: Vec<u8>,
}

/// `struct sockaddr_in` of 127.0.0.1 and a port.
pub(super) fn loopback(port: u16) -> Vec<u8> {
    let mut bytes = 2u16.to_ne_bytes().to_vec();
    bytes.extend(port.to_be_bytes());
    bytes.extend([127, 0, 0, 1]);
    bytes.extend([0; 8]);
    bytes
}

impl Files {
    pub(super) fn new_socket(&mut self) -> Result<i32, Errno> {
        let index = self.sockets.len();
        let address = loopback(40_000 + (index % 20_000) as u16);
        self.sockets.push(Socket { address, ..Default::default() });
        self.install(Object::Socket(index), true, true)
    }

    pub(super) fn new_pair(&mut self) -> Result<(i32, i32), Errno> {
        let first = self.new_socket()?;
        let second = self.new_socket()?;
        let n = self.sockets.len();
        self.join(n - 2, n - 1);
        Ok((first, second))
    }

    fn join(&mut self, a: usize, b: usize) {
        self.sockets[a].peer = Some(b);
        self.sockets[b].peer = Some(a);
    }

    /// A socket that listens at `address` (the bytes of a sockaddr).
    pub(super) fn new_listener(&mut self, address: &[u8]) -> Result<i32, Errno> {
        let fd = self.new_socket()?;
        let index = self.sockets.len() - 1;
        self.sockets[index].address = address.to_vec();
        self.sockets[index].backlog = Some(VecDeque::new());
        Ok(fd)
    }

    fn listener_at(&self, address: &[u8]) -> Option<usize> {
        self.sockets.iter().position(|s| s.backlog.is_some() && !s.closed && s.address == address)
    }

    /// Connect `socket`: the other end waits in the listener's backlog.
    pub(super) fn connect(&mut self, socket: usize, address: &[u8]) -> Result<(), Errno> {
        if self.sockets[socket].peer.is_some() {
            return Err(Errno::EISCONN);
        }
        let listener = self.listener_at(address).ok_or(Errno::ECONNREFUSED)?;
        let server = self.sockets.len();
        self.sockets.push(Socket { address: address.to_vec(), ..Default::default() });
        self.join(socket, server);
        if let Some(backlog) = &mut self.sockets[listener].backlog {
            backlog.push_back(server);
        }
        self.wakes.push((Queue::Socket(listener), READABLE));
        self.wakes.push((Queue::Socket(socket), WRITABLE));
        Ok(())
    }

    /// The next waiting connection: its descriptor and the peer's address.
    pub(super) fn accept(&mut self, listener: usize) -> Result<(i32, Vec<u8>), Errno> {
        let backlog = self.sockets[listener].backlog.as_mut().ok_or(Errno::EINVAL)?;
        let server = *backlog.front().ok_or(Errno::EAGAIN)?;
        let fd = self.install(Object::Socket(server), true, true)?;
        if let Some(backlog) = self.sockets[listener].backlog.as_mut() {
            backlog.pop_front();
        }
        let peer = self.sockets[server].peer;
        Ok((fd, peer.map_or(Vec::new(), |peer| self.sockets[peer].address.clone())))
    }

    pub(super) fn close_socket(&mut self, socket: usize) {
        self.sockets[socket].closed = true;
        for waiting in self.sockets[socket].backlog.take().into_iter().flatten() {
            self.close_socket(waiting);
        }
        if let Some(peer) = self.sockets[socket].peer {
            self.sockets[peer].ended = true;
            self.sockets[peer].orphan = true;
            let events = READABLE | WRITABLE | POLLHUP | POLLRDHUP;
            self.wakes.push((Queue::Socket(peer), events));
        }
    }

    /// shutdown(2); `how` is SHUT_RD 0, SHUT_WR 1, SHUT_RDWR 2.
    pub(super) fn shutdown(&mut self, socket: usize, how: u32) -> Result<(), Errno> {
        if how > 2 {
            return Err(Errno::EINVAL);
        }
        let peer = self.sockets[socket].peer.ok_or(Errno::ENOTCONN)?;
        if how != 1 {
            self.sockets[socket].ended = true;
        }
        if how != 0 {
            self.sockets[socket].silent = true;
            self.sockets[peer].ended = true;
        }
        self.wakes.push((Queue::Socket(socket), READABLE | WRITABLE | POLLHUP | POLLRDHUP));
        self.wakes.push((Queue::Socket(peer), READABLE | POLLRDHUP));
        Ok(())
    }

    pub(super) fn receive(
        &mut self,
        socket: usize,
        max: usize,
        peek: bool,
    ) -> Result<Vec<u8>, Errno> {
        let s = &mut self.sockets[socket];
        if s.peer.is_none() {
            return Err(if s.backlog.is_some() { Errno::EINVAL } else { Errno::ENOTCONN });
        }
        let n = max.min(s.received.len());
        if n > 0 && peek {
            return Ok(s.received.iter().take(n).copied().collect());
        }
        if n > 0 {
            let bytes = s.received.drain(..n).collect();
            if let Some(peer) = s.peer {
                self.wakes.push((Queue::Socket(peer), WRITABLE));
            }
            return Ok(bytes);
        }
        if s.ended || max == 0 {
            Ok(Vec::new())
        } else {
            Err(Errno::EAGAIN)
        }
    }

    pub(super) fn has_data(&self, socket: usize) -> bool {
        !self.sockets[socket].received.is_empty()
    }

    pub(super) fn transmit(&mut self, socket: usize, bytes: &[u8]) -> Result<usize, Errno> {
        let s = &self.sockets[socket];
        let peer = s.peer.ok_or(Errno::ENOTCONN)?;
        if s.silent || s.orphan {
            return Err(Errno::EPIPE);
        }
        let capacity = self.socket_capacity;
        let received = &mut self.sockets[peer].received;
        let n = capacity.saturating_sub(received.len()).min(bytes.len());
        if n == 0 && !bytes.is_empty() {
            return Err(Errno::EAGAIN);
        }
        received.extend(&bytes[..n]);
        self.wakes.push((Queue::Socket(peer), READABLE));
        Ok(n)
    }

    pub(super) fn poll_socket(&self, socket: usize) -> u32 {
        let s = &self.sockets[socket];
        if let Some(backlog) = &s.backlog {
            return if backlog.is_empty() { 0 } else { READABLE };
        }
        let Some(peer) = s.peer else { return WRITABLE | POLLHUP };
        let mut mask = 0;
        if !s.received.is_empty() || s.ended {
            mask |= READABLE;
        }
        if s.ended {
            mask |= POLLRDHUP | POLLIN;
        }
        if s.orphan || (s.ended && s.silent) {
            mask |= POLLHUP;
        }
        if s.orphan || self.sockets[peer].received.len() < self.socket_capacity {
            mask |= WRITABLE;
        }
        mask
    }
}
