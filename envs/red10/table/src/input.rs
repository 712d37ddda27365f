//! Standard input that a signal can end.
use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

/// Standard input that ends when a signal asks for it: a read that waits would not hear it.
pub struct Lines {
    stop: Arc<AtomicBool>,
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    rest: Vec<u8>,
}

impl Lines {
    /// Ends when `stop` is set.
    pub fn new(stop: Arc<AtomicBool>) -> Self {
        // One chunk ahead, so that an endless input does not fill the memory.
        let (send, chunks) = mpsc::sync_channel(1);
        // It ends with the input, or with the program.
        std::thread::spawn(move || {
            loop {
                let mut chunk = vec![0; 4096];
                let read = io::stdin().read(&mut chunk);
                let last = !matches!(read, Ok(n) if n > 0);
                let sent = send.send(read.map(|n| chunk[..n].to_vec()));
                if last || sent.is_err() {
                    return;
                }
            }
        });
        Self { stop, chunks, rest: Vec::new() }
    }
}

impl Read for Lines {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(0);
            }
            match self.chunks.recv_timeout(Duration::from_millis(50)) {
                Ok(chunk) => self.rest = chunk?,
                Err(mpsc::RecvTimeoutError::Timeout) => continue,
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(0),
            }
            if self.rest.is_empty() {
                return Ok(0);
            }
        }
        let n = self.rest.len().min(out.len());
        out[..n].copy_from_slice(&self.rest[..n]);
        self.rest.drain(..n);
        Ok(n)
    }
}
