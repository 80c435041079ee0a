//! Four processes on one data folder, as a developer runs them.

use crate::deployment::{Deployment, book, free_address, get};
use crate::harness::text;

#[tokio::test(flavor = "multi_thread")]
async fn four_processes_on_one_folder_sell_a_seat() {
    let deployment = Deployment::plan(&[]).await;
    let processes = deployment.start_all().await;

    book(&deployment.shop(), "alice").await;

    deployment.assert_audit_clean();
    let run = &deployment.run;
    assert!(processes[1].first_line.starts_with(&format!("booking on {}, admin on 127.0.0.1:", run.grpc.booking)));
    let (_, admin) = processes[1].first_line.trim_end().rsplit_once(' ').unwrap();
    assert!(deployment.command(&["ready", admin]).output().unwrap().status.success());
    let nobody = deployment.command(&["ready", &free_address().to_string()]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(1), "{}", text(&nobody.stderr));
    let metrics = get(run.http, "/metrics").await.unwrap();
    assert_eq!(metrics.0, 404, "metrics are for the admin side");
    for process in processes.into_iter().rev() {
        assert!(process.stop().await);
    }
}

#[tokio::test]
async fn a_second_process_of_a_service_on_one_folder_is_refused() {
    let deployment = Deployment::plan(&[]).await;
    let _catalog = deployment.start("catalog").await;

    let (at, admin) = (free_address().to_string(), free_address().to_string());
    let second = deployment.said(&["catalog", "--listen", &at, "--admin-listen", &admin]);

    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("is in use by another catalog (pid "), "{}", text(&second.stderr));
}
