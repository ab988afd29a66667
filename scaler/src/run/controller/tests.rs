use super::*;

#[test]
fn with_dry_run_a_decision_is_recorded_once() {
    let mut reported = None;
    let mut go = |dry_run, asked, desired| is_news(&mut reported, dry_run, asked, desired);
    assert!(go(true, 1, 3), "said");
    assert!(!go(true, 1, 3), "once");
    assert!(go(true, 1, 2), "another");
    assert!(!go(false, 2, 2), "nothing to do");
    assert!(go(false, 4, 2), "a reload raised the count meanwhile");
    assert!(go(true, 4, 2), "dryRun begins anew");
}
