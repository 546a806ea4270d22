//! Which of several volumes that would do.

use super::*;

#[test]
fn what_the_controller_chooses() {
    let any = || json!({});
    for case in [
        case("nothing, out of nothing", any(), &[], &[], false),
        case("the smallest", any(), &[plain("a", "7Gi"), plain("b", "6Gi")], &["b"], true),
        case(
            "any of equally large ones",
            any(),
            &[plain("a", "6Gi"), plain("b", "6144Mi"), plain("c", "7Gi")],
            &["a", "b"],
            true,
        ),
        case(
            "the one with fewer access modes, though it is larger",
            any(),
            &[modes("a", "6Gi", &[RWO, RWX]), plain("b", "90Gi")],
            &["b"],
            true,
        ),
        case(
            "the smallest of either set of equally many access modes",
            any(),
            &[
                modes("a", "6Gi", &[RWO, RWX]),
                modes("b", "7Gi", &[RWX, RWO, RWO]),
                modes("c", "8Gi", &[RWO, ROX]),
                modes("d", "9Gi", &[ROX, RWO]),
                modes("e", "5Gi", &[ROX, RWO, RWX]),
            ],
            &["a", "c"],
            true,
        ),
        case(
            "one with more access modes, where fewer are on volumes too small",
            any(),
            &[plain("a", "4Gi"), modes("b", "6Gi", &[RWO, RWX])],
            &["b"],
            true,
        ),
    ] {
        case.check(false, 1);
    }
}

#[test]
fn when_the_controller_chooses_a_promised_one() {
    let any = || json!({});
    for case in [
        case(
            "the promised one, though it is larger",
            any(),
            &[plain("a", "5Gi"), promised("b", "9Gi", &any())],
            &["b"],
            true,
        ),
        case(
            "any of several promised ones, whatever their sizes",
            any(),
            &[promised("a", "9Gi", &any()), promised("b", "7Gi", &any()), plain("c", "5Gi")],
            &["a", "b"],
            true,
        ),
        case(
            "an available one rather than a promised one with more access modes",
            any(),
            &[
                plain("a", "5Gi"),
                promised("b", "9Gi", &json!({"spec": {"accessModes": [RWO, RWX]}})),
            ],
            &["a"],
            true,
        ),
        case(
            "either of a promised and an available one with equally many access modes",
            any(),
            &[
                modes("a", "5Gi", &[RWO, ROX]),
                promised("b", "9Gi", &json!({"spec": {"accessModes": [RWO, RWX]}})),
            ],
            &["a", "b"],
            true,
        ),
        case(
            "an available one rather than a promised one that is too small",
            any(),
            &[plain("a", "5Gi"), promised("b", "4Gi", &any())],
            &["a"],
            true,
        ),
        case(
            "no promised one without the access mode",
            any(),
            &[promised("a", "5Gi", &json!({"spec": {"accessModes": [RWX]}}))],
            &[],
            false,
        ),
        case(
            "one that only some nodes can mount: it asks for no node",
            any(),
            &[local("a", "5Gi"), plain("b", "6Gi")],
            &["a"],
            true,
        ),
        case(
            "nothing that is promised, for a template",
            json!({"metadata": {"name": "template"}}),
            &[promised("a", "5Gi", &any())],
            &[],
            false,
        ),
    ] {
        case.check(false, 1);
    }
}

#[test]
fn what_is_chosen_once_a_pod_waits() {
    let any = || json!({});
    let other_class = json!({"spec": {"storageClassName": "other", "accessModes": [RWO, RWX]}});
    for case in [
        case(
            "the smallest, with whatever access modes beside",
            any(),
            &[plain("a", "7Gi"), modes("b", "6Gi", &[RWO, ROX, RWX]), plain("c", "6Gi")],
            &["b", "c"],
            true,
        ),
        case(
            "one that some nodes can mount, or the smallest that all can",
            any(),
            &[
                local("a", "5Gi"),
                local("b", "6Gi"),
                plain("c", "6Gi"),
                plain("d", "7Gi"),
                local("e", "7Gi"),
            ],
            &["a", "b", "c"],
            true,
        ),
        case(
            "one that some nodes can mount, or none",
            any(),
            &[local("a", "5Gi"), local("b", "9Gi")],
            &["a", "b"],
            false,
        ),
        case(
            "the promised one of whatever class, by the controller",
            any(),
            &[plain("a", "5Gi"), promised("b", "9Gi", &other_class)],
            &["b"],
            true,
        ),
        case(
            "the promised one with fewest access modes, by the controller",
            any(),
            &[promised("a", "9Gi", &other_class), promised("b", "9Gi", &any())],
            &["b"],
            true,
        ),
        case(
            "the promised one of the class even without the access mode, by the scheduler",
            any(),
            &[plain("a", "5Gi"), promised("b", "9Gi", &json!({"spec": {"accessModes": [RWX]}}))],
            &["b"],
            true,
        ),
        case(
            "no promised one of another class without the access mode",
            any(),
            &[
                plain("a", "5Gi"),
                promised(
                    "b",
                    "9Gi",
                    &json!({"spec": {"storageClassName": "other", "accessModes": [RWX]}}),
                ),
            ],
            &["a"],
            true,
        ),
        case(
            "nothing on a node that cannot mount the promised one",
            any(),
            &[
                plain("a", "5Gi"),
                promised(
                    "b",
                    "9Gi",
                    &json!({"spec": {"accessModes": [RWX], "nodeAffinity": {"required": {}}}}),
                ),
            ],
            &["b"],
            false,
        ),
        case(
            "nothing, once the scheduler wants a volume made",
            json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n1"}}}),
            &[plain("a", "5Gi")],
            &[],
            false,
        ),
    ] {
        case.check(true, 1);
    }
}

#[test]
fn what_the_claims_of_a_template_take() {
    let template = || json!({"metadata": {"name": "template"}});
    let sizes = [plain("a", "5Gi"), plain("b", "6Gi"), plain("c", "6Gi"), plain("d", "7Gi")];
    let groups = [
        plain("a", "9Gi"),
        modes("b", "5Gi", &[RWO, ROX]),
        modes("c", "6Gi", &[RWO, ROX]),
        modes("d", "5Gi", &[RWO, RWX]),
        modes("e", "5Gi", &[RWO, ROX, RWX]),
    ];
    let nodes = [plain("a", "6Gi"), local("b", "7Gi"), plain("c", "8Gi"), local("d", "9Gi")];
    for (name, delay_binding, n, volumes, expected, certain) in [
        ("no claim takes none", false, 0, &sizes[..], &[][..], true),
        ("no claim takes none, later", true, 0, &sizes, &[], true),
        ("two take the two smallest", false, 2, &sizes, &["a", "b", "c"], true),
        ("two take the two smallest, later", true, 2, &sizes, &["a", "b", "c"], true),
        ("four take all", false, 4, &sizes, &["a", "b", "c", "d"], true),
        ("one of five goes without", false, 5, &sizes, &["a", "b", "c", "d"], false),
        ("one of five goes without, later", true, 5, &sizes, &["a", "b", "c", "d"], false),
        ("one of two goes without", false, 2, &sizes[..1], &["a"], false),
        ("one takes of the fewest modes", false, 1, &groups, &["a"], true),
        ("the second of either next set", false, 2, &groups, &["a", "b", "d"], true),
        ("the third two of one set", false, 3, &groups, &["a", "b", "c", "d"], true),
        ("the fourth no more", false, 4, &groups, &["a", "b", "c", "d"], true),
        ("the fifth the last", false, 5, &groups, &["a", "b", "c", "d", "e"], true),
        ("a node's own before a larger one", true, 1, &nodes, &["a"], true),
        ("the second may be on that node", true, 2, &nodes, &["a", "b", "c"], true),
        ("the third may find none", true, 3, &nodes, &["a", "b", "c", "d"], false),
        ("a million find what there is", true, 1_000_000, &nodes, &["a", "b", "c", "d"], false),
        ("nobody counts so far", false, u64::MAX, &sizes, &["a", "b", "c", "d"], false),
    ] {
        case(name, template(), volumes, expected, certain).check(delay_binding, n);
    }
}
