//! The log: topics, the ends of their partitions in memory, records in the store. Reads go straight to the store, every
//! change goes through the one writer.

mod batch;
mod store;
mod writer;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sea_orm::DbErr;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

pub use self::batch::Batch;
use self::store::Store;
use self::writer::Command;
pub use self::writer::Writer;

/// Requests that wait for the writer; who comes later waits at the door.
const QUEUE_MAX: usize = 256;

/// Topics by name. A topic never goes away.
pub type Topics = BTreeMap<String, Arc<Topic>>;

/// The storage refused; nothing was acknowledged. The cause is logged where it happened.
#[derive(Debug, Error)]
#[error("storage failed")]
pub struct StorageFailed;

/// A topic and, per partition, the next offset to be given (its high watermark).
pub struct Topic {
    id: i64,
    pub name: String,
    ends: Vec<watch::Sender<i64>>,
}

impl Topic {
    fn new(id: i64, name: String, partitions: i32) -> Self {
        Self { id, name, ends: (0..partitions).map(|_| watch::Sender::new(0)).collect() }
    }

    /// How many partitions, numbered from 0.
    pub fn partitions(&self) -> i32 {
        i32::try_from(self.ends.len()).unwrap_or(i32::MAX)
    }

    /// The next offset of a partition, `None` where there is no such partition.
    pub fn end(&self, partition: i32) -> Option<i64> {
        self.sender(partition).map(|end| *end.borrow())
    }

    /// Tells when the end of a partition moves.
    pub fn watch(&self, partition: i32) -> Option<watch::Receiver<i64>> {
        self.sender(partition).map(watch::Sender::subscribe)
    }

    fn set_end(&self, partition: i32, end: i64) {
        if let Some(sender) = self.sender(partition) {
            sender.send_if_modified(|old| std::mem::replace(old, end) != end);
        }
    }

    fn sender(&self, partition: i32) -> Option<&watch::Sender<i64>> {
        self.ends.get(usize::try_from(partition).ok()?)
    }
}

/// Batches for one partition, in order. The partition exists.
pub struct Append {
    pub topic: Arc<Topic>,
    pub partition: i32,
    pub batches: Vec<Batch>,
}

/// What requests see of the log.
pub struct Log {
    store: Arc<Store>,
    topics: watch::Receiver<Arc<Topics>>,
    queue: mpsc::Sender<Command>,
}

impl Log {
    /// Opens the log in `path`, together with the writer that must be run for it.
    pub async fn open(path: &Path) -> anyhow::Result<(Self, Writer)> {
        let store = Arc::new(Store::open(path).await?);
        let mut known = Topics::new();
        for topic in store.topics().await? {
            known.insert(topic.name.clone(), Arc::new(topic));
        }
        writer::load_ends(&store, &known).await?;

        let (sender, topics) = watch::channel(Arc::new(known));
        let (queue, commands) = mpsc::channel(QUEUE_MAX);
        let writer = Writer::new(Arc::clone(&store), sender, commands);
        Ok((Self { store, topics, queue }, writer))
    }

    /// All topics as of now.
    pub fn topics(&self) -> Arc<Topics> {
        Arc::clone(&self.topics.borrow())
    }

    /// One topic by name.
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.borrow().get(name).cloned()
    }

    /// Creates a topic; `false` when it exists already.
    pub async fn create(&self, name: String, partitions: i32) -> Result<bool, StorageFailed> {
        let (reply, created) = oneshot::channel();
        self.queue.send(Command::Create { name, partitions, reply }).await.map_err(|_| StorageFailed)?;
        created.await.map_err(|_| StorageFailed)
    }

    /// Appends all or nothing and returns, per append, the offset of its first record, once that is on disk.
    pub async fn append(&self, appends: Vec<Append>) -> Result<Vec<i64>, StorageFailed> {
        let appended = self.append_unanswered(appends).await;
        appended.await.map_err(|_| StorageFailed)
    }

    /// Queues an append without waiting for its outcome, which the returned receiver would tell.
    pub async fn append_unanswered(&self, appends: Vec<Append>) -> oneshot::Receiver<Vec<i64>> {
        let (reply, appended) = oneshot::channel();
        // A closed queue drops the reply with the command, which its receiver reads as failure.
        let _ = self.queue.send(Command::Append { appends, reply }).await;
        appended
    }

    /// Reads whole batches from the one that holds the start of `offsets`, up to `bytes_max`; with `at_least_one` the first
    /// batch comes even when it is larger.
    pub async fn read(
        &self,
        topic: &Topic,
        partition: i32,
        offsets: Range<i64>,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<Bytes, DbErr> {
        if offsets.is_empty() || (bytes_max == 0 && !at_least_one) {
            return Ok(Bytes::new());
        }
        self.store.read(topic.id, partition, offsets, bytes_max, at_least_one).await
    }
}
