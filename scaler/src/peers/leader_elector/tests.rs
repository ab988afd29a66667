use super::*;

#[test]
fn a_lease_of_another_component_or_of_nobody_can_be_read() {
    let read = |text: &str| record(&serde_json::from_str(text).unwrap());
    let theirs = read(
        r#"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"x"},"spec":{
            "holderIdentity":"a_b","leaseDurationSeconds":15,"leaseTransitions":3,
            "acquireTime":"2026-01-01T00:00:00.000000Z","renewTime":"2026-01-01T00:00:01.500000Z"}}"#,
    );
    assert_eq!((&*theirs.holder, theirs.duration.as_secs()), ("a_b", 15));
    let free = read(r#"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{}}"#);
    assert_eq!((&*free.holder, free.duration), ("", TIMES.lease));
    assert_ne!(theirs.stamp, free.stamp);
}
