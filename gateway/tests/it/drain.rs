//! Stopping: not ready at once, answering for a while, closing connections, and an end that nobody idle holds up.

use std::time::{Duration, Instant};

use http::Method;

use crate::world::World;

#[tokio::test]
async fn a_stopping_gateway_is_not_ready_and_answers_until_load_balancers_noticed() {
    let world = World::with(false, |config| config.drain_delay = Some(Duration::from_secs(60))).await;
    let ask = async || world.send(Method::GET, "/graphql?query=%7B__typename%7D", &[], Vec::new()).await;
    assert_eq!(ask().await.header("connection"), None);

    world.begin_to_stop();

    assert_eq!(world.send(Method::GET, "/health/ready", &[], Vec::new()).await.status, 503);
    let answer = ask().await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end() {
    let world = World::closed().await;
    world.send(Method::GET, "/graphql?query=%7B__typename%7D", &[], Vec::new()).await;

    let asked_at = Instant::now();
    world.end().await;

    assert!(asked_at.elapsed() < Duration::from_secs(5), "took {:?}", asked_at.elapsed());
}
