;; What a node costs without what a canister does. PAGES is put in: the size of its heap in pages of 64 KiB.
(module
  (import "ic0" "msg_reply" (func $reply))
  (memory (export "memory") PAGES)
  (func (export "canister_update empty") (call $reply))
  (func (export "canister_query nothing") (call $reply))
  ;; Writes to each page of 4 KiB, so that none is empty.
  (func (export "canister_update fill") (local $at i32)
    (loop $next
      (i32.store (local.get $at) (i32.const 1))
      (local.set $at (i32.add (local.get $at) (i32.const 4096)))
      (br_if $next (i32.lt_u (local.get $at) (i32.shl (memory.size) (i32.const 16)))))
    (call $reply))
  ;; Writes to 16 pages, far from each other.
  (func (export "canister_update touch") (local $at i32) (local $times i32)
    (loop $next
      (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (i32.const 1)))
      (local.set $at (i32.add (local.get $at) (i32.shl (memory.size) (i32.const 12))))
      (local.set $times (i32.add (local.get $times) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $times) (i32.const 16))))
    (call $reply)))
