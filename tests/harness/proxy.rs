//! A TCP proxy between two processes: passes everything on until it is told to delay, freeze or cut it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the proxy does with the bytes it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Passes them on.
    Open,
    /// Passes them on, this much later.
    Slow(Duration),
    /// Holds them, and new connections too.
    Frozen,
    /// Closes every connection, new ones at once.
    Cut,
}

/// Whose bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// A proxy to one address; gone when dropped.
pub struct Proxy {
    /// Where clients connect.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    target: SocketAddr,
    mood: watch::Sender<Mood>,
    trap: Mutex<Option<Trap>>,
    sprung: AtomicUsize,
}

/// Springs on the first connection whose client said all of `words`, one after the other, once the server has answered that.
struct Trap {
    words: Vec<Vec<u8>>,
    catch: Catch,
}

/// What becomes of the answer, and of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Catch {
    /// The connection is closed.
    Cut,
    /// The client waits for it in vain, and everybody else for whatever they say from then on.
    Keep,
}

/// How PostgreSQL's clients say it: a simple query.
const COMMIT: &[u8] = b"COMMIT\0";

impl Proxy {
    /// Passes everything on to `target`.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mood = watch::Sender::new(Mood::Open);
        let shared = Arc::new(Shared { target, mood, trap: Mutex::default(), sprung: AtomicUsize::new(0) });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared.clone()));
        Self { addr, shared, _tasks: tasks }
    }

    /// From now on, for old and new connections.
    pub fn turn(&self, mood: Mood) {
        self.shared.mood.send_replace(mood);
    }

    /// The next transaction in which PostgreSQL's client says `marker` is committed, and its client never hears of it.
    pub fn cut_answer_to_commit_after(&self, marker: &str) {
        let words = vec![marker.as_bytes().to_vec(), COMMIT.to_vec()];
        *self.shared.trap.lock().unwrap() = Some(Trap { words, catch: Catch::Cut });
    }

    /// The next request in which a client says `marker` is answered, but its client waits for that answer in vain. Then the
    /// mood is [`Mood::Frozen`], so that nobody can ask again before it turns.
    pub fn keep_answer_to(&self, marker: &str) {
        let words = vec![marker.as_bytes().to_vec()];
        *self.shared.trap.lock().unwrap() = Some(Trap { words, catch: Catch::Keep });
    }

    /// How many answers were cut off or kept.
    pub fn answers_caught(&self) -> usize {
        self.shared.sprung.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(connection(client, shared.clone()));
    }
}

async fn connection(client: TcpStream, shared: Arc<Shared>) {
    let mut mood = shared.mood.subscribe();
    if mood.wait_for(|mood| *mood != Mood::Frozen).await.is_err() || *mood.borrow() == Mood::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(shared.target).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let watched = Arc::new(Watched { shared: shared.clone(), heard: Mutex::default() });
    let cut = async {
        let _ = mood.wait_for(|mood| *mood == Mood::Cut).await;
    };
    // When one direction ends, so does the connection.
    tokio::select! {
        () = pump(from_client, to_server, Side::Client, &watched) => {}
        () = pump(from_server, to_client, Side::Server, &watched) => {}
        () = cut => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, side: Side, watched: &Watched) {
    let mut mood = watched.shared.mood.subscribe();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        let Ok(now) = mood.wait_for(|mood| *mood != Mood::Frozen).await.map(|mood| *mood) else { return };
        if let Mood::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        match watched.catches(side, &buffer[..read]) {
            Some(Catch::Cut) => return,
            Some(Catch::Keep) => std::future::pending().await,
            None => {}
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// What one connection's client has said of what a trap waits for.
struct Watched {
    shared: Arc<Shared>,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    /// The end of what was said before: words may come in pieces.
    tail: Vec<u8>,
    /// How many of the trap's words were said.
    words: usize,
}

impl Watched {
    /// What becomes of these bytes, which have not been passed on, and of their connection.
    fn catches(&self, side: Side, bytes: &[u8]) -> Option<Catch> {
        let mut trap = self.shared.trap.lock().unwrap();
        let mut heard = self.heard.lock().unwrap();
        let Some(Trap { words, catch }) = &*trap else {
            *heard = Heard::default();
            return None;
        };
        if side == Side::Server {
            let caught = (heard.words == words.len()).then_some(*catch)?;
            *trap = None;
            if caught == Catch::Keep {
                self.shared.mood.send_replace(Mood::Frozen);
            }
            self.shared.sprung.fetch_add(1, Ordering::SeqCst);
            return Some(caught);
        }
        heard.tail.extend_from_slice(bytes);
        while let Some(word) = words.get(heard.words)
            && contains(&heard.tail, word)
        {
            heard.words += 1;
        }
        let longest = words.iter().map(Vec::len).max().unwrap_or_default();
        let keep = heard.tail.len().saturating_sub(longest);
        heard.tail.drain(..keep);
        None
    }
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}
