;; A canister that calls its peers and itself and counts. Each call of a pair has a number, and each answer says which one it is for.
;; Words at 1024: what came in another order than it was sent, is missing or doubled; then for each of three peers what was sent to it,
;; what came from it, and what it has answered; the number of the last message of a user.
(module
  (import "ic0" "msg_arg_data_size" (func $arg_size (result i32)))
  (import "ic0" "msg_arg_data_copy" (func $arg_copy (param i32 i32 i32)))
  (import "ic0" "msg_caller_copy" (func $caller_copy (param i32 i32 i32)))
  (import "ic0" "msg_reply" (func $reply))
  (import "ic0" "msg_reply_data_append" (func $say (param i32 i32)))
  (import "ic0" "call_new" (func $call_new (param i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "ic0" "call_data_append" (func $append (param i32 i32)))
  (import "ic0" "call_perform" (func $perform (result i32)))
  (memory 1)
  (table 3 funcref)
  (elem (i32.const 0) $on_reply $on_last $on_reject)
  ;; the id of a peer; its number is the byte at 7
  (data (i32.const 0) "\00\00\00\09\00\00\01\00\01\01")
  (data (i32.const 16) "note")

  (func $add (param $at i32)
    (i64.store (local.get $at) (i64.add (i64.load (local.get $at)) (i64.const 1))))
  (func $word (param $first i32) (param $peer i32) (result i32)
    (i32.add (local.get $first) (i32.mul (local.get $peer) (i32.const 8))))
  ;; counts a number at a place, where it has to be the next one
  (func $count (param $at i32) (param $number i64)
    (if (i64.ne (i64.load (local.get $at)) (local.get $number)) (then (call $add (i32.const 1024))))
    (call $add (local.get $at)))
  ;; sends a peer its next number, and for how many hops more it goes back and forth
  (func $send (param $peer i32) (param $hops i32) (param $on_reply i32)
    (local $at i32)
    (local.set $at (call $word (i32.const 1032) (local.get $peer)))
    (i32.store8 (i32.const 7) (local.get $peer))
    (i64.store (i32.const 32) (i64.load (local.get $at)))
    (i32.store8 (i32.const 40) (local.get $hops))
    (call $call_new (i32.const 0) (i32.const 10) (i32.const 16) (i32.const 4)
      (local.get $on_reply) (local.get $peer) (i32.const 2) (local.get $peer))
    (call $append (i32.const 32) (i32.const 9))
    (if (i32.eqz (call $perform)) (then (call $add (local.get $at)))))

  ;; Of a user: a number above all before, hops, and the peers to call. Answered when the last of these calls is.
  (func (export "canister_update flood")
    (local $size i32) (local $at i32)
    (local.set $size (call $arg_size))
    (call $arg_copy (i32.const 200) (i32.const 0) (local.get $size))
    (if (i64.le_u (i64.load (i32.const 200)) (i64.load (i32.const 1104))) (then (call $add (i32.const 1024))))
    (i64.store (i32.const 1104) (i64.load (i32.const 200)))
    (local.set $at (i32.const 9))
    (loop $next
      (call $send
        (i32.load8_u (i32.add (i32.const 200) (local.get $at)))
        (i32.load8_u (i32.const 208))
        ;; the place of $on_last, or of $on_reply
        (i32.eq (local.get $at) (i32.sub (local.get $size) (i32.const 1))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $size)))))
  ;; Of a peer.
  (func (export "canister_update note")
    (local $from i32)
    (call $caller_copy (i32.const 100) (i32.const 0) (i32.const 10))
    (local.set $from (i32.load8_u (i32.const 107)))
    (call $arg_copy (i32.const 200) (i32.const 0) (i32.const 9))
    (call $count (call $word (i32.const 1056) (local.get $from)) (i64.load (i32.const 200)))
    (if (i32.load8_u (i32.const 208))
      (then (call $send
        (local.get $from) (i32.sub (i32.load8_u (i32.const 208)) (i32.const 1)) (i32.const 0))))
    (call $say (i32.const 200) (i32.const 8))
    (call $reply))
  (func $on_reply (param $peer i32)
    (call $arg_copy (i32.const 200) (i32.const 0) (i32.const 8))
    (call $count (call $word (i32.const 1080) (local.get $peer)) (i64.load (i32.const 200))))
  (func $on_last (param $peer i32)
    (call $on_reply (local.get $peer))
    (call $say (i32.const 1024) (i32.const 88))
    (call $reply))
  (func $on_reject (param i32) (call $add (i32.const 1024)))
  (func (export "canister_query show") (call $say (i32.const 1024) (i32.const 88)) (call $reply)))
