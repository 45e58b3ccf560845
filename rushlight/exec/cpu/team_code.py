"""What the threads of a team do, in LLVM IR on the tables of ``driver`` (see ``teams``).

The control block has 64-bit words; what different threads write lies in different cache lines:

- [0] ticket: step · 2³² + (end of the pieces that nobody has taken) · 2¹⁶ + their begin;
- [8] finished pieces of the step; [16] failure: step (from 1) times 256 plus its code;
- [24] the plan's block that runs or 0, [25] its steps, [26] their number, [27] the first steps, of one piece for each thread, or -1
  for those of a plan that starts before its graph is complete;
- [32] how often work came (futex), [33] sleeping threads, [34] whether to stop;
- [40] syscall, [41] its number of futex, [42] sched_yield, [43] the number of threads.

A piece is taken by exchanging the ticket for one without it, and only who has taken one reads the tables: its step cannot end,
nor its plan be gone, before the piece is done. Who finishes the last piece of a step offers those of the next, but for one that
it runs itself: then two threads do not ask for the ticket at the same time.

A request of the program's thread: control block, plan's block, steps to help with, [27] if it is to be started, whether it is;
the first step and the end of those to run. With a first step it goes on where an earlier request ended: it waits for that one.
"""

from __future__ import annotations

from platform import machine

from rushlight.exec.cpu import driver

PATIENCE = 1000  # pauses before a thread that waits for others offers its processor to them
IDLE = 50_000  # pauses before a thread without work sleeps: 0.5 to 2 ms
WORDS = 48  # of the control block; what different threads write lies in different cache lines
PAUSES = {"x86_64": "call void @llvm.x86.sse2.pause()", "aarch64": "call void @llvm.aarch64.hint(i32 1)"}
DECLARED = {"x86_64": "declare void @llvm.x86.sse2.pause()", "aarch64": "declare void @llvm.aarch64.hint(i32)"}

COMMON = driver.COMMON + """
DECLARED

; the number of pieces of a step
define internal i64 @rl_pieces(ptr %control, i64 %step) {
  %q25 = getelementptr i64, ptr %control, i64 25
  %steps = load ptr, ptr %q25
  %k = mul i64 %step, 2
  %p = getelementptr i64, ptr %steps, i64 %k
  %kind = load i64, ptr %p
  %region = icmp eq i64 %kind, 2
  br i1 %region, label %several, label %one
one:
  ret i64 1
several:
  %p1 = getelementptr i64, ptr %p, i64 1
  %a = load ptr, ptr %p1
  %q27 = getelementptr i64, ptr %control, i64 27
  %head = load i64, ptr %q27
  %early = icmp slt i64 %step, %head
  %opens = icmp slt i64 %head, 0
  %later = select i1 %opens, i64 9, i64 8
  %which = select i1 %early, i64 3, i64 %later
  %place = getelementptr i64, ptr %a, i64 %which
  %pieces = load i64, ptr %place
  ret i64 %pieces
}

; the mark at which a piece begins, where so many first and last pieces are two marks wide and the others one
define internal i64 @rl_mark(i64 %piece, i64 %pieces, i64 %front, i64 %back) {
  %within = icmp slt i64 %piece, %front
  %before = select i1 %within, i64 %piece, i64 %front
  %last = sub i64 %pieces, %back
  %behind = sub i64 %piece, %last
  %some = icmp sgt i64 %behind, 0
  %after = select i1 %some, i64 %behind, i64 0
  %mark0 = add i64 %piece, %before
  %mark = add i64 %mark0, %after
  ret i64 %mark
}

; run a piece: those of the first steps are all alike; others are smaller where the threads meet, the program's coming
; from the front and the rest from the back, so that none waits long for the last one
define internal i64 @rl_piece(ptr %control, ptr %argument, i64 %step, i64 %piece, i64 %pieces, i64 %t) {
  %q27 = getelementptr i64, ptr %control, i64 27
  %head = load i64, ptr %q27
  %early = icmp slt i64 %step, %head
  %q43 = getelementptr i64, ptr %control, i64 43
  %threads = load i64, ptr %q43
  %pair = icmp eq i64 %threads, 2
  %quarter = lshr i64 %pieces, 2
  %half = lshr i64 %pieces, 1
  %front0 = select i1 %pair, i64 %quarter, i64 0
  %back0 = select i1 %pair, i64 %quarter, i64 %half
  %front = select i1 %early, i64 0, i64 %front0
  %back = select i1 %early, i64 0, i64 %back0
  %next = add i64 %piece, 1
  %from = call i64 @rl_mark(i64 %piece, i64 %pieces, i64 %front, i64 %back)
  %to = call i64 @rl_mark(i64 %next, i64 %pieces, i64 %front, i64 %back)
  %whole = call i64 @rl_mark(i64 %pieces, i64 %pieces, i64 %front, i64 %back)
  %code = call i64 @rl_share(ptr %argument, i64 %from, i64 %to, i64 %whole, i64 %t)
  ret i64 %code
}

; offer the pieces of a step, one of them to thread t alone (to nobody for t = -1), and wake those for the others who slept
; through a long step before it; t's piece
define internal i64 @rl_offer(ptr %control, i64 %step, i64 %t) {
  %pieces = call i64 @rl_pieces(ptr %control, i64 %step)
  %leads = icmp eq i64 %t, 0
  %follows = icmp sgt i64 %t, 0
  %last = sub i64 %pieces, 1
  %begin = select i1 %leads, i64 1, i64 0
  %end = select i1 %follows, i64 %last, i64 %pieces
  %piece = select i1 %leads, i64 0, i64 %last
  %high = shl i64 %step, 32
  %middle = shl i64 %end, 16
  %ticket0 = or i64 %high, %middle
  %ticket = or i64 %ticket0, %begin
  store atomic i64 %ticket, ptr %control release, align 64
  %some = icmp slt i64 %begin, %end
  br i1 %some, label %look, label %done
look: ; who is about to sleep counts itself, then looks at the ticket
  fence seq_cst
  %q33 = getelementptr i64, ptr %control, i64 33
  %sleeping = load atomic i64, ptr %q33 monotonic, align 8
  %any = icmp sgt i64 %sleeping, 0
  br i1 %any, label %wake, label %done
wake:
  call void @rl_wake(ptr %control)
  br label %done
done:
  ret i64 %piece
}

; run a piece that is thread t's, and as long as it was the last of its step one of the next; up to so many steps
define internal void @rl_run(ptr %control, i64 %t, i64 %until, i64 %step0, i64 %piece0) {
entry:
  %q8 = getelementptr i64, ptr %control, i64 8
  %q16 = getelementptr i64, ptr %control, i64 16
  %q25 = getelementptr i64, ptr %control, i64 25
  %q26 = getelementptr i64, ptr %control, i64 26
  br label %run
run: ; the step cannot end, nor the plan, before this piece has
  %step = phi i64 [%step0, %entry], [%next, %more]
  %piece = phi i64 [%piece0, %entry], [%mine, %more]
  %steps = load ptr, ptr %q25
  %k = mul i64 %step, 2
  %p = getelementptr i64, ptr %steps, i64 %k
  %kind = load i64, ptr %p
  %p1 = getelementptr i64, ptr %p, i64 1
  %argument = load ptr, ptr %p1
  %pieces = call i64 @rl_pieces(ptr %control, i64 %step)
  %region = icmp eq i64 %kind, 2
  br i1 %region, label %part, label %whole
part:
  %code0 = call i64 @rl_piece(ptr %control, ptr %argument, i64 %step, i64 %piece, i64 %pieces, i64 %t)
  br label %check
whole:
  %code1 = call i64 @rl_kernel(ptr %argument)
  br label %check
check:
  %code = phi i64 [%code0, %part], [%code1, %whole]
  %bad = icmp ne i64 %code, 0
  br i1 %bad, label %fail, label %count
fail:
  %number = add i64 %step, 1
  %high = shl i64 %number, 8
  %failure = add i64 %high, %code
  store atomic i64 %failure, ptr %q16 monotonic, align 64
  br label %count
count:
  %before = atomicrmw add ptr %q8, i64 1 acq_rel
  %after = add i64 %before, 1
  %all = icmp eq i64 %after, %pieces
  br i1 %all, label %ended, label %done
ended:
  store atomic i64 0, ptr %q8 monotonic, align 64
  %total = load i64, ptr %q26
  %failed = load atomic i64, ptr %q16 monotonic, align 64
  %good = icmp eq i64 %failed, 0
  %next0 = add i64 %step, 1
  %next = select i1 %good, i64 %next0, i64 %total
  %there = icmp slt i64 %next, %total
  br i1 %there, label %offer, label %over
offer:
  %stays = icmp slt i64 %next, %until
  br i1 %stays, label %more, label %leave
more:
  %mine = call i64 @rl_offer(ptr %control, i64 %next, i64 %t)
  br label %run
leave:
  %nobody = call i64 @rl_offer(ptr %control, i64 %next, i64 -1)
  br label %done
over:
  %ticket = shl i64 %total, 32
  store atomic i64 %ticket, ptr %control release, align 64
  br label %done
done:
  ret void
}

; take a piece and run it; 0 if there was none
define internal i64 @rl_take(ptr %control, i64 %t, i64 %until) {
entry:
  %ticket = load atomic i64, ptr %control acquire, align 64
  %end0 = lshr i64 %ticket, 16
  %end = and i64 %end0, 65535
  %begin = and i64 %ticket, 65535
  %some = icmp ult i64 %begin, %end
  br i1 %some, label %try, label %nothing
nothing:
  ret i64 0
try:
  %leads = icmp eq i64 %t, 0
  %first = add i64 %ticket, 1
  %last = sub i64 %ticket, 65536
  %rest = select i1 %leads, i64 %first, i64 %last
  %end1 = sub i64 %end, 1
  %piece = select i1 %leads, i64 %begin, i64 %end1
  %pair = cmpxchg ptr %control, i64 %ticket, i64 %rest acq_rel acquire, align 64
  %mine = extractvalue {i64, i1} %pair, 1
  br i1 %mine, label %run, label %again
run:
  %step = lshr i64 %ticket, 32
  call void @rl_run(ptr %control, i64 %t, i64 %until, i64 %step, i64 %piece)
  ret i64 1
again:
  ret i64 1
}

; wake those that sleep
define internal void @rl_wake(ptr %control) {
  %q32 = getelementptr i64, ptr %control, i64 32
  %old = atomicrmw add ptr %q32, i64 1 seq_cst
  %q33 = getelementptr i64, ptr %control, i64 33
  %sleeping = load atomic i64, ptr %q33 seq_cst, align 8
  %any = icmp sgt i64 %sleeping, 0
  br i1 %any, label %wake, label %done
wake:
  %q40 = getelementptr i64, ptr %control, i64 40
  %syscall = load ptr, ptr %q40
  %q41 = getelementptr i64, ptr %control, i64 41
  %futex = load i64, ptr %q41
  %status = call i64 (i64, ...) %syscall(i64 %futex, ptr %q32, i64 129, i64 2147483647, ptr null, ptr null, i64 0)
  br label %done
done:
  ret void
}

; start a plan's block if that is asked for, and help until so many steps are done; gives its failure or 0
define internal i64 @rl_help(ptr %control, ptr %block, i64 %until, i64 %head, i64 %may, i64 %first, i64 %n) {
entry:
  %q24 = getelementptr i64, ptr %control, i64 24
  %running = load ptr, ptr %q24
  %started = icmp eq ptr %running, %block
  %q16 = getelementptr i64, ptr %control, i64 16
  br i1 %started, label %look, label %new
new:
  %starts = icmp ne i64 %may, 0
  br i1 %starts, label %start, label %ended
ended: ; the caller was interrupted before it knew
  %earlier = load atomic i64, ptr %q16 monotonic, align 64
  ret i64 %earlier
start:
  %b0 = load ptr, ptr %block
  %q1 = getelementptr i64, ptr %block, i64 1
  %b1 = load i64, ptr %q1
  %q5 = getelementptr i64, ptr %block, i64 5
  %cell = load ptr, ptr %q5
  %list = load ptr, ptr %cell
  %items = getelementptr i8, ptr %list, i64 SIZED
  %objects = load ptr, ptr %items
  call void @rl_slots(ptr %b0, i64 %b1, ptr %objects)
  %q6 = getelementptr i64, ptr %block, i64 6
  %steps = load ptr, ptr %q6
  store ptr %block, ptr %q24
  %q25 = getelementptr i64, ptr %control, i64 25
  store ptr %steps, ptr %q25
  %q26 = getelementptr i64, ptr %control, i64 26
  store i64 %n, ptr %q26
  %q27 = getelementptr i64, ptr %control, i64 27
  store i64 %head, ptr %q27
  store atomic i64 0, ptr %q16 monotonic, align 64
  %stays = icmp sgt i64 %until, %first
  %who = select i1 %stays, i64 0, i64 -1
  %piece = call i64 @rl_offer(ptr %control, i64 %first, i64 %who)
  call void @rl_wake(ptr %control)
  br i1 %stays, label %begin, label %look
begin:
  call void @rl_run(ptr %control, i64 0, i64 %until, i64 %first, i64 %piece)
  br label %look
look:
  %patience = phi i64 [PATIENCE, %entry], [PATIENCE, %start], [PATIENCE, %begin], [%less, %rest], [PATIENCE, %help]
  %ticket = load atomic i64, ptr %control acquire, align 64
  %step = lshr i64 %ticket, 32
  %there = icmp sge i64 %step, %until
  br i1 %there, label %done, label %help
help:
  %took = call i64 @rl_take(ptr %control, i64 0, i64 %until)
  %some = icmp ne i64 %took, 0
  br i1 %some, label %look, label %wait
wait:
  %tired = icmp eq i64 %patience, 0
  br i1 %tired, label %offer, label %pause
pause:
  PAUSE
  %left = sub i64 %patience, 1
  br label %rest
offer:
  %q42 = getelementptr i64, ptr %control, i64 42
  %yield = load ptr, ptr %q42
  %ignored = call i32 %yield()
  br label %rest
rest:
  %less = phi i64 [%left, %pause], [0, %offer]
  br label %look
done:
  %failure = load atomic i64, ptr %q16 monotonic, align 64
  %last = icmp sge i64 %until, %n ; else the program's thread comes again, even if the others are through
  br i1 %last, label %over, label %leave
over:
  store ptr null, ptr %q24
  br label %leave
leave:
  ret i64 %failure
}

; what a thread of the team does until it is told to stop
define internal void @rl_serve(ptr %control, i64 %t) {
entry:
  %q32 = getelementptr i64, ptr %control, i64 32
  %q33 = getelementptr i64, ptr %control, i64 33
  %q34 = getelementptr i64, ptr %control, i64 34
  br label %look
look:
  %idle = phi i64 [0, %entry], [0, %work], [%longer, %pause], [0, %awake]
  %stop = load atomic i64, ptr %q34 acquire, align 8
  %over = icmp ne i64 %stop, 0
  br i1 %over, label %done, label %work
work:
  %took = call i64 @rl_take(ptr %control, i64 %t, i64 9223372036854775807)
  %some = icmp ne i64 %took, 0
  br i1 %some, label %look, label %wait
wait:
  %tired = icmp sge i64 %idle, IDLE
  br i1 %tired, label %tire, label %pause
pause:
  PAUSE
  %longer = add i64 %idle, 1
  br label %look
tire:
  %seen = load atomic i64, ptr %q32 seq_cst, align 64
  %old = atomicrmw add ptr %q33, i64 1 seq_cst
  %ticket = load atomic i64, ptr %control seq_cst, align 64
  %end0 = lshr i64 %ticket, 16
  %end = and i64 %end0, 65535
  %begin = and i64 %ticket, 65535
  %piece = icmp ult i64 %begin, %end
  %stop2 = load atomic i64, ptr %q34 seq_cst, align 8
  %over2 = icmp ne i64 %stop2, 0
  %busy = or i1 %piece, %over2
  br i1 %busy, label %awake, label %sleep
sleep:
  %q40 = getelementptr i64, ptr %control, i64 40
  %syscall = load ptr, ptr %q40
  %q41 = getelementptr i64, ptr %control, i64 41
  %futex = load i64, ptr %q41
  %value = and i64 %seen, 4294967295
  %status = call i64 (i64, ...) %syscall(i64 %futex, ptr %q32, i64 128, i64 %value, ptr null, ptr null, i64 0)
  br label %awake
awake:
  %old2 = atomicrmw sub ptr %q33, i64 1 seq_cst
  br label %look
done:
  ret void
}

"""

HELP = COMMON + """
; do what a request says
define i64 @NAME(ptr %request) {
entry:
  %control = load ptr, ptr %request
  %r1 = getelementptr i64, ptr %request, i64 1
  %block = load ptr, ptr %r1
  %r2 = getelementptr i64, ptr %request, i64 2
  %until = load i64, ptr %r2
  %r3 = getelementptr i64, ptr %request, i64 3
  %head = load i64, ptr %r3
  %r4 = getelementptr i64, ptr %request, i64 4
  %may = load i64, ptr %r4
  %r5 = getelementptr i64, ptr %request, i64 5
  %first = load i64, ptr %r5
  %r6 = getelementptr i64, ptr %request, i64 6
  %end = load i64, ptr %r6
  %goes = icmp sgt i64 %first, 0
  br i1 %goes, label %before, label %go
before:
  %earlier = call i64 @rl_help(ptr %control, ptr %block, i64 %first, i64 0, i64 0, i64 0, i64 %first)
  br label %go
go:
  %failure = call i64 @rl_help(ptr %control, ptr %block, i64 %until, i64 %head, i64 %may, i64 %first, i64 %end)
  ret i64 %failure
}
"""

THREAD = COMMON + """
; serve as thread t above 0; with 0 tell the threads to stop
define i64 @NAME(ptr %control, i64 %t) {
entry:
  %serves = icmp sgt i64 %t, 0
  br i1 %serves, label %serve, label %stop
serve:
  call void @rl_serve(ptr %control, i64 %t)
  ret i64 0
stop:
  %q34 = getelementptr i64, ptr %control, i64 34
  store atomic i64 1, ptr %q34 seq_cst, align 8
  call void @rl_wake(ptr %control)
  ret i64 0
}
"""


def text(ir: str, name: str) -> str:
    """LLVM IR for this machine, with the name of its function."""
    values = {"DECLARED": DECLARED.get(machine(), ""), "PATIENCE": PATIENCE, "IDLE": IDLE, "PAUSE": PAUSES.get(machine(), "")}
    for word, value in values.items():
        ir = ir.replace(word, str(value))
    return driver.text(ir, name)
