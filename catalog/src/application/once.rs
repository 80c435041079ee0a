//! One request id, one effect: who asks again is answered as before, whatever became of things since.

use super::App;
use super::ports::{Answer, Asked, StoreError};

/// Does the work of a request, unless it was done and answered before. The store claims the request id in the transaction of
/// the work; looking beforehand, and once more after a refusal, is for what the first one changed: a name that is taken since,
/// a version that is no longer the newest.
pub(super) async fn once<E: From<StoreError>>(
    app: &App,
    asked: &Asked,
    work: impl Future<Output = Result<Answer, E>>,
) -> Result<Answer, E> {
    let Some(key) = &asked.key else { return work.await };
    if let Some(answer) = app.store.answered(key).await? {
        return Ok(answer);
    }
    match work.await {
        Ok(answer) => Ok(answer),
        Err(refusal) => app.store.answered(key).await?.ok_or(refusal),
    }
}
