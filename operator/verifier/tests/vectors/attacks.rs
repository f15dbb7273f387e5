//! Exports that only one check catches, from `labels` on.

use dcanary_types::record::LedgerEvent;
use dcanary_types::value::{map, sha256};
use dcanary_types::{Map, Value};
use dcanary_verifier::Check;

use crate::exports::Cases;
use crate::forge::{Key, Ranges, canister, leaf, level, principals};
use crate::records::{NOW, ledger, operator, other_operator, owner};
use crate::world::{World, role};

pub fn add(c: &mut Cases) {
    labels(c);
    blocks(c);
    laws(c);
    code(c);
}

fn put(key: &str, value: impl Into<Value>) -> impl FnOnce(&mut Map) {
    let (key, value) = (key.to_owned(), value.into());
    move |map| {
        map.insert(key, value);
    }
}

fn body(change: impl FnOnce(&mut Map)) -> impl FnOnce(&mut Map) {
    move |block| {
        let Some(Value::Map(body)) = block.get_mut("body") else {
            panic!("no body")
        };
        change(body);
    }
}

/// Index of the first block of a type.
fn find(world: &World, btype: &str) -> usize {
    let is = |v: &Value| v.as_map().unwrap()["btype"].as_text() == Some(btype);
    world.blocks.iter().position(is).unwrap()
}

fn labels(c: &mut Cases) {
    use Check::Labels;
    c.bad(Labels, "certified_data is of another witness", |w| {
        w.certified_data = Some(vec![7; 32])
    });
    c.bad(Labels, "certified_data is pruned", |w| {
        w.state = |tree| tree.prune(&[b"canister", &ledger(), b"certified_data"]);
    });
    let mut without = |name: &str, change: fn(&mut World)| {
        let mut world = World::full();
        world.labels = world.good_labels();
        change(&mut world);
        c.add(
            &format!("labels: {name}"),
            &world.export(),
            Some(&world.trust()),
            &[Labels],
        );
    };
    without("one is missing", |w| {
        w.labels.remove(1);
    });
    without("one is named otherwise", |w| {
        w.labels[1].0 = b"dcanary_revokee".to_vec()
    });
    without("one too many", |w| w.labels.push((b"zebra".to_vec(), vec![1])));
    without("one is pruned", |w| {
        w.witness = |tree| tree.prune(&[b"dcanary_revoked"])
    });
    without("one too many, and pruned", |w| {
        w.labels.push((b"zebra".to_vec(), vec![1]));
        w.witness = |tree| tree.prune(&[b"zebra"]);
    });
    without("the root is 31 bytes", |w| w.set_label("dcanary_root", &[1; 31]));
    without("the size is padded", |w| {
        w.set_label("dcanary_size", &[0x96, 0x80, 0])
    });
    without("the size is the last index", |w| {
        let index = w.labels[5].1.clone();
        w.set_label("dcanary_size", &index);
    });
}

fn blocks(c: &mut Cases) {
    use Check::Blocks;
    c.bad(Blocks, "a block type that is not defined", |w| {
        w.change(4, put("btype", "dcanary_stage_exploded"))
    });
    c.bad(Blocks, "a field too many", |w| w.change(4, put("note", "x")));
    c.bad(Blocks, "a field is missing", |w| {
        w.change(4, |block| {
            block.remove("claimed_ts");
        });
    });
    c.bad(Blocks, "a body field too many", |w| {
        w.change(4, body(put("note", "x")))
    });
    c.bad(Blocks, "a body field is missing", |w| {
        w.change(
            4,
            body(|body| {
                body.remove("image");
            }),
        );
    });
    c.bad(Blocks, "another protocol", |w| w.change(4, put("proto", 2)));
    c.bad(Blocks, "a caller of 30 bytes", |w| {
        w.change(4, put("caller", vec![4; 30]))
    });
    c.bad(Blocks, "a project in capitals", |w| {
        w.change(4, put("project", "Shop"))
    });
    c.bad(Blocks, "a record without domain", |w| {
        w.change(4, put("domain", ""))
    });
    c.bad(Blocks, "a body of more than 2,048 bytes", |w| {
        w.change(4, body(put("image", "x".repeat(2_000).as_str())))
    });
    c.bad(Blocks, "nothing but a link", |w| {
        w.blocks[4] = Value::Map(map([("phash", w.blocks[3].hash().into())]));
        w.relink(5);
    });
    c.bad(Blocks, "a stage named with a control character", |w| {
        w.change(4, body(put("stage", "a\nb")))
    });
    c.bad(Blocks, "attempt 0", |w| w.change(4, body(put("attempt", 0))));
    c.bad(Blocks, "a second opening", |w| {
        w.event(
            &owner(),
            "",
            &LedgerEvent::Opened {
                owner: owner(),
                incarnation: 0,
            },
        );
    });
    let mut twice = World::smallest();
    twice.event(
        &owner(),
        "",
        &LedgerEvent::Opened {
            owner: owner(),
            incarnation: 0,
        },
    );
    c.add(
        "blocks: opened twice",
        &twice.export(),
        Some(&twice.bare_trust()),
        &[Blocks],
    );
    c.bad(Blocks, "block 0 links to a block before it", |w| {
        w.change(0, put("phash", vec![1; 32]))
    });
    c.bad(Blocks, "an incarnation is left out", |w| {
        w.event(&owner(), "", &LedgerEvent::Restored { incarnation: 3 });
    });
    c.bad(Blocks, "a conflict with a later block", |w| {
        let i = find(w, "dcanary_conflict");
        w.change(i, body(put("have", i as u64)));
    });
    c.bad(Blocks, "the canister's own block with two times", |w| {
        w.change(1, put("claimed_ts", 5))
    });
    c.bad(Blocks, "an owner with a domain", |w| {
        w.change(1, body(put("role", "owner")))
    });
    // What rests on the blocks is unchecked, whatever was seen before the bad one.
    c.bad(
        Blocks,
        "a field too many, after a stage that starts at attempt 2",
        |w| {
            w.change(4, body(put("attempt", 2)));
            w.change(5, put("note", "x"));
        },
    );
    c.bad(Blocks, "a field too many, after a record by nobody", |w| {
        w.change(4, put("caller", vec![1, 2, 3]));
        w.change(5, put("note", "x"));
    });
}

fn laws(c: &mut Cases) {
    use Check::{HashLinks, Policy, Root, Transitions};
    c.bad(HashLinks, "a block links elsewhere", |w| {
        w.change(7, put("phash", vec![9; 32]));
    });
    c.bad(HashLinks, "the certified last block is another", |w| {
        w.set_label("last_block_hash", &[9; 32])
    });
    c.bad(Root, "another root is certified", |w| {
        w.set_label("dcanary_root", &[9; 32])
    });
    c.bad(Root, "a block fewer than certified", |w| {
        w.labels = w.good_labels();
        w.labels[3].1 = vec![w.labels[3].1[0] + 1];
        w.labels[5].1 = vec![w.labels[5].1[0] + 1];
    });

    let last = |w: &World| {
        w.blocks
            .iter()
            .rposition(|b| b.as_map().unwrap()["btype"].as_text() == Some("dcanary_run_finished"))
    };
    c.bad(Transitions, "a number is left out", |w| {
        let i = last(w).unwrap();
        w.change(i, body(put("n", 13)));
    });
    c.bad(Transitions, "a run that was never opened", |w| {
        w.change(4, body(put("run", "r9")))
    });
    c.bad(Transitions, "a stage starts at attempt 2", |w| {
        w.change(4, body(put("attempt", 2)))
    });
    c.bad(Transitions, "a run fails though no stage did", |w| {
        let i = find(w, "dcanary_run_finished");
        w.change(i, body(put("outcome", "failed")));
    });

    c.bad(Policy, "the document is another than certified", |w| {
        w.labels = w.good_labels();
        let mut policy = w.policy.clone();
        policy.grant(role(&owner(), "shop", "east"));
        w.policy_bytes = Some(policy.encode());
    });
    c.bad(Policy, "another document is certified", |w| {
        w.set_label("dcanary_policy", &[9; 32]);
    });
    c.bad(
        Policy,
        "the certified document is not what the blocks lead to",
        |w| {
            w.policy.grant(role(&owner(), "shop", "east"));
        },
    );
    c.bad(Policy, "a policy version ahead of its grant", |w| {
        w.change(4, put("policy", 3))
    });
    // Any writer is trusted, so only the roles in force can tell.
    let mut bare = |name: &str, change: fn(&mut World)| {
        let mut world = World::full();
        change(&mut world);
        c.add(
            &format!("policy: {name}"),
            &world.export(),
            Some(&world.bare_trust()),
            &[Policy],
        );
    };
    bare("a record by somebody without role", |w| {
        w.change(4, put("caller", vec![1, 2, 3]))
    });
    bare("a record by an operator of another project", |w| {
        w.change(4, put("caller", other_operator()))
    });
    bare("a record under another domain than the writer's", |w| {
        let i = find(w, "dcanary_conflict");
        w.change(i, put("domain", "west"));
    });
    c.bad(Policy, "a role granted by an operator", |w| {
        w.change(2, put("caller", operator()))
    });
    c.bad(
        Policy,
        "a principal moves to another domain without being revoked first",
        |w| {
            w.grant(&operator(), "shop", "north");
            w.revoke(&operator(), "shop", "east");
        },
    );
    c.bad(Policy, "a principal with two domains of a project", |w| {
        let principal = operator();
        let grant = dcanary_types::policy::RoleBody {
            principal: principal.clone(),
            role: dcanary_types::policy::RoleKind::Operator,
            domain: "north".to_owned(),
        };
        w.event(&owner(), "shop", &LedgerEvent::RoleGranted(grant));
    });
    c.bad_trust(&[Policy], "a writer that the trust file does not accept", |t| {
        t.domains.as_mut().unwrap().remove(0);
    });
    c.bad_trust(
        &[Policy],
        "a writer under another domain than the trust file's",
        |t| {
            "north".clone_into(&mut t.domains.as_mut().unwrap()[0].domain);
        },
    );
}

fn code(c: &mut Cases) {
    use Check::Code;
    c.bad(Code, "another module", |w| {
        w.module_hash = sha256(b"other").to_vec()
    });
    c.bad(Code, "one controller more", |w| w.controllers.push(operator()));
    c.bad(Code, "no controller", |w| w.controllers.clear());
    c.bad(Code, "there is no certificate of it", |w| w.code = None);
    c.bad(Code, "signed by another key", |w| {
        w.code = Some(|w| {
            let inner = w
                .network
                .root
                .certify(&w.network.subnet_tree(Ranges::Both, NOW), None);
            Key::seeded(9).certify(&w.code_tree(), Some((&w.network.subnet_id, &inner)))
        });
    });
    c.bad(Code, "of another canister", |w| {
        w.code = Some(|w| {
            let about = level([
                ("controllers", leaf(principals(&w.controllers))),
                ("module_hash", leaf(w.module_hash.clone())),
            ]);
            w.sign(&level([
                ("canister", level([(canister(0x20_0001), about)])),
                ("time", leaf(vec![1])),
            ]))
        });
    });
    c.bad(Code, "the module hash is pruned", |w| {
        w.code = Some(|w| w.sign(&w.code_tree().prune(&[b"canister", &w.ledger, b"module_hash"])));
    });
    c.bad(Code, "the time is pruned", |w| {
        w.code = Some(|w| w.sign(&w.code_tree().prune(&[b"time"])))
    });
    let world = World {
        code: Some(|w| Key::seeded(9).certify(&w.code_tree(), None)),
        ..World::full()
    };
    c.add(
        "code: checked even where nothing of it is pinned",
        &world.export(),
        Some(&world.bare_trust()),
        &[Code],
    );
}
