//! The one writer: takes everything queued, commits it once, and only then lets anyone know.

use std::collections::HashMap;
use std::sync::Arc;

use sea_orm::{DatabaseTransaction, DbErr};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::error;

use super::store::{self, Store};
use super::{Append, Topic, Topics};

/// Commands of one commit.
const GROUP_MAX: usize = 256;

/// A change asked for. A reply dropped unsent means that nothing was acknowledged.
pub enum Command {
    /// Replies, per append, the offset of its first record.
    Append { appends: Vec<Append>, reply: oneshot::Sender<Vec<i64>> },
    /// Replies whether the topic is new.
    Create { name: String, partitions: i32, reply: oneshot::Sender<bool> },
}

/// Owns every change of the log, which is what makes an offset given once.
pub struct Writer {
    store: Arc<Store>,
    topics: watch::Sender<Arc<Topics>>,
    commands: mpsc::Receiver<Command>,
}

impl Writer {
    pub fn new(store: Arc<Store>, topics: watch::Sender<Arc<Topics>>, commands: mpsc::Receiver<Command>) -> Self {
        Self { store, topics, commands }
    }

    /// Works until nobody can send a command any more, then closes the store.
    pub async fn run(mut self) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        while self.commands.recv_many(&mut group, GROUP_MAX).await > 0 {
            match self.commit(group.drain(..)).await {
                Ok(staged) => staged.publish(&self.topics),
                Err(error) => self.recover(&error).await,
            }
        }
        if let Err(error) = self.store.close().await {
            error!(%error, "cannot close the store: {error}");
        }
    }

    async fn commit(&self, group: impl Iterator<Item = Command>) -> Result<Staged, DbErr> {
        let transaction = self.store.begin().await?;
        let mut staged = Staged::upon(Arc::clone(&self.topics.borrow()));
        for command in group {
            let reply = match command {
                Command::Append { appends, reply } => {
                    Reply::Append(reply, staged.append(&transaction, &appends).await?)
                }
                Command::Create { name, partitions, reply } => {
                    Reply::Create(reply, staged.create(&transaction, name, partitions).await?)
                }
            };
            staged.replies.push(reply);
        }
        transaction.commit().await?;
        Ok(staged)
    }

    /// A failed COMMIT may still have reached the disk: the ends are read again, so that no offset is given twice.
    async fn recover(&self, error: &DbErr) {
        error!(%error, "cannot commit: {error}");
        let topics = Arc::clone(&self.topics.borrow());
        if let Err(error) = load_ends(&self.store, &topics).await {
            error!(%error, "cannot read the ends again: {error}");
        }
    }
}

/// Sets the end of every partition to what the store holds.
pub async fn load_ends(store: &Store, topics: &Topics) -> Result<(), DbErr> {
    for topic in topics.values() {
        for partition in 0..topic.partitions() {
            topic.set_end(partition, store.end(topic, partition).await?);
        }
    }
    Ok(())
}

enum Reply {
    Append(oneshot::Sender<Vec<i64>>, Vec<i64>),
    Create(oneshot::Sender<bool>, bool),
}

/// What one transaction changes, unseen until it is committed.
struct Staged {
    known: Arc<Topics>,
    created: Topics,
    ends: HashMap<(i64, i32), (Arc<Topic>, i64)>,
    replies: Vec<Reply>,
}

impl Staged {
    fn upon(known: Arc<Topics>) -> Self {
        Self { known, created: Topics::new(), ends: HashMap::new(), replies: Vec::new() }
    }

    async fn append(&mut self, transaction: &DatabaseTransaction, appends: &[Append]) -> Result<Vec<i64>, DbErr> {
        let mut offsets = Vec::with_capacity(appends.len());
        for Append { topic, partition, batches } in appends {
            let end = self.ends.get(&(topic.id, *partition)).map(|(_, end)| *end).or_else(|| topic.end(*partition));
            let mut end = end.ok_or_else(|| DbErr::Custom(format!("{} has no partition {partition}", topic.name)))?;
            offsets.push(end);
            for batch in batches {
                let next = end + batch.records;
                store::insert_batch(transaction, topic, *partition, end..next, batch.placed_at(end)).await?;
                end = next;
            }
            self.ends.insert((topic.id, *partition), (Arc::clone(topic), end));
        }
        Ok(offsets)
    }

    async fn create(
        &mut self,
        transaction: &DatabaseTransaction,
        name: String,
        partitions: i32,
    ) -> Result<bool, DbErr> {
        if self.known.contains_key(&name) || self.created.contains_key(&name) {
            return Ok(false);
        }
        let id = store::insert_topic(transaction, &name, partitions).await?;
        self.created.insert(name.clone(), Arc::new(Topic::new(id, name, partitions)));
        Ok(true)
    }

    /// Moves the ends, which wakes long polls, and answers. A requester that is gone does not matter.
    fn publish(self, topics: &watch::Sender<Arc<Topics>>) {
        if !self.created.is_empty() {
            topics.send_modify(|known| Arc::make_mut(known).extend(self.created));
        }
        for ((_, partition), (topic, end)) in self.ends {
            topic.set_end(partition, end);
        }
        for reply in self.replies {
            match reply {
                Reply::Append(reply, offsets) => drop(reply.send(offsets)),
                Reply::Create(reply, created) => drop(reply.send(created)),
            }
        }
    }
}
