"""The native driver: one call runs a stretch of a plan without Python in between.

It fills addresses into argument blocks and into oneDNN's memory objects, then runs the steps in order: generated kernels,
divided among OpenMP's threads, and oneDNN primitives. Written in LLVM IR once for all plans.

``run(block)`` reads 64-bit words: [0] slot patches, [1] their number, [2] memory patches, [3] their number,
[4] dnnl_memory_set_data_handle, [5] address of a list of objects' address, [6] steps, [7] their number.

- slot patch (3 words): address to fill, number of the object, offset in bytes;
- memory patch (4 words): dnnl_memory, number of the object, offset, address it has;
- object: the address of a NumPy array object, whose data pointer follows the object header;
- step (2 words): kind and argument block.

Kind 0, a kernel in this thread: [kernel, slots, units].
Kind 1, a primitive: [dnnl_primitive_execute, primitive, stream, count, arguments, threads, omp_set_num_threads or 0].
Kind 2, a region in which threads share the units of kernels that do not depend on each other: [parts, their number, total
work, threads, error, GOMP_parallel, omp_get_thread_num, omp_get_num_threads, pieces for a team, and those
before the program's thread comes]; part: [kernel, slots, units, work before, work].

The result is 0, or the number of the failed step (from 1) times 256 plus its code.
"""

from __future__ import annotations

import ctypes
from functools import cache

from rushlight.exec.cpu.jit import COMPILED

HEADER = object.__basicsize__  # of every Python object; in an array object the data pointer comes next
SIZED = tuple.__basicsize__  # of an object with a size; in a list the pointer to its items comes next

COMMON = """
define internal ptr @rl_data(ptr %objects, i64 %i) {
  %p = getelementptr i64, ptr %objects, i64 %i
  %o = load ptr, ptr %p
  %d = getelementptr i8, ptr %o, i64 HEADER
  %r = load ptr, ptr %d
  ret ptr %r
}

define internal void @rl_slots(ptr %table, i64 %n, ptr %objects) {
entry:
  br label %head
head:
  %i = phi i64 [0, %entry], [%next, %body]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %k = mul i64 %i, 3
  %p = getelementptr i64, ptr %table, i64 %k
  %place = load ptr, ptr %p
  %p1 = getelementptr i64, ptr %p, i64 1
  %object = load i64, ptr %p1
  %p2 = getelementptr i64, ptr %p, i64 2
  %offset = load i64, ptr %p2
  %data = call ptr @rl_data(ptr %objects, i64 %object)
  %address = getelementptr i8, ptr %data, i64 %offset
  store ptr %address, ptr %place
  %next = add i64 %i, 1
  br label %head
done:
  ret void
}

define internal i64 @rl_unit(i64 %weight, i64 %start, i64 %share, i64 %units) {
  %over = sub i64 %weight, %start
  %none = icmp sle i64 %over, 0
  br i1 %none, label %first, label %some
first:
  ret i64 0
some:
  %all = icmp sge i64 %over, %share
  br i1 %all, label %last, label %part
last:
  ret i64 %units
part:
  %scaled = mul i64 %over, %units
  %up = add i64 %scaled, %share
  %less = sub i64 %up, 1
  %unit = sdiv i64 %less, %share
  ret i64 %unit
}

; run a region's work between two of `whole` even marks in thread t; the last code that is not 0
define internal i64 @rl_share(ptr %a, i64 %from, i64 %to, i64 %whole, i64 %t) {
entry:
  %parts = load ptr, ptr %a
  %a1 = getelementptr i64, ptr %a, i64 1
  %count = load i64, ptr %a1
  %a2 = getelementptr i64, ptr %a, i64 2
  %total = load i64, ptr %a2
  %low0 = mul i64 %total, %from
  %low = sdiv i64 %low0, %whole
  %high0 = mul i64 %total, %to
  %high = sdiv i64 %high0, %whole
  br label %head
head:
  %i = phi i64 [0, %entry], [%next, %after]
  %failed = phi i64 [0, %entry], [%status, %after]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %body, label %done
body:
  %k = mul i64 %i, 5
  %p = getelementptr i64, ptr %parts, i64 %k
  %kernel = load ptr, ptr %p
  %p1 = getelementptr i64, ptr %p, i64 1
  %slots = load ptr, ptr %p1
  %p2 = getelementptr i64, ptr %p, i64 2
  %units = load i64, ptr %p2
  %p3 = getelementptr i64, ptr %p, i64 3
  %start = load i64, ptr %p3
  %p4 = getelementptr i64, ptr %p, i64 4
  %share = load i64, ptr %p4
  %begin = call i64 @rl_unit(i64 %low, i64 %start, i64 %share, i64 %units)
  %end = call i64 @rl_unit(i64 %high, i64 %start, i64 %share, i64 %units)
  %next = add i64 %i, 1
  %some = icmp slt i64 %begin, %end
  br i1 %some, label %run, label %after
run:
  %code = call i64 %kernel(ptr %slots, i64 %begin, i64 %end, i64 %t)
  %good = icmp eq i64 %code, 0
  %worse = select i1 %good, i64 %failed, i64 %code
  br label %after
after:
  %status = phi i64 [%failed, %body], [%worse, %run]
  br label %head
done:
  ret i64 %failed
}

define internal i64 @rl_kernel(ptr %a) {
  %kernel = load ptr, ptr %a
  %a1 = getelementptr i64, ptr %a, i64 1
  %slots = load ptr, ptr %a1
  %a2 = getelementptr i64, ptr %a, i64 2
  %units = load i64, ptr %a2
  %code = call i64 %kernel(ptr %slots, i64 0, i64 %units, i64 0)
  ret i64 %code
}
"""

IR = COMMON + """
define internal void @rl_memories(ptr %table, i64 %n, ptr %objects, ptr %set) {
entry:
  br label %head
head:
  %i = phi i64 [0, %entry], [%next, %step]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %k = mul i64 %i, 4
  %p = getelementptr i64, ptr %table, i64 %k
  %memory = load ptr, ptr %p
  %p1 = getelementptr i64, ptr %p, i64 1
  %object = load i64, ptr %p1
  %p2 = getelementptr i64, ptr %p, i64 2
  %offset = load i64, ptr %p2
  %p3 = getelementptr i64, ptr %p, i64 3
  %last = load ptr, ptr %p3
  %data = call ptr @rl_data(ptr %objects, i64 %object)
  %address = getelementptr i8, ptr %data, i64 %offset
  %same = icmp eq ptr %last, %address
  br i1 %same, label %step, label %fill
fill:
  store ptr %address, ptr %p3
  %status = call i32 %set(ptr %memory, ptr %address)
  br label %step
step:
  %next = add i64 %i, 1
  br label %head
done:
  ret void
}

define internal void @rl_part(ptr %a) {
  %a6 = getelementptr i64, ptr %a, i64 6
  %number = load ptr, ptr %a6
  %a7 = getelementptr i64, ptr %a, i64 7
  %threads = load ptr, ptr %a7
  %t32 = call i32 %number()
  %n32 = call i32 %threads()
  %t = sext i32 %t32 to i64
  %n = sext i32 %n32 to i64
  %t1 = add i64 %t, 1
  %code = call i64 @rl_share(ptr %a, i64 %t, i64 %t1, i64 %n, i64 %t)
  %bad = icmp ne i64 %code, 0
  br i1 %bad, label %fail, label %done
fail:
  %a4 = getelementptr i64, ptr %a, i64 4
  store atomic i64 %code, ptr %a4 monotonic, align 8
  br label %done
done:
  ret void
}

define internal i64 @rl_region(ptr %a) {
  %a3 = getelementptr i64, ptr %a, i64 3
  %threads = load i64, ptr %a3
  %a4 = getelementptr i64, ptr %a, i64 4
  store i64 0, ptr %a4
  %a5 = getelementptr i64, ptr %a, i64 5
  %parallel = load ptr, ptr %a5
  %count = trunc i64 %threads to i32
  call void %parallel(ptr @rl_part, ptr %a, i32 %count, i32 0)
  %result = load atomic i64, ptr %a4 monotonic, align 8
  ret i64 %result
}

define internal i64 @rl_primitive(ptr %a) {
  %execute = load ptr, ptr %a
  %a1 = getelementptr i64, ptr %a, i64 1
  %primitive = load ptr, ptr %a1
  %a2 = getelementptr i64, ptr %a, i64 2
  %stream = load ptr, ptr %a2
  %a3 = getelementptr i64, ptr %a, i64 3
  %count = load i64, ptr %a3
  %a4 = getelementptr i64, ptr %a, i64 4
  %arguments = load ptr, ptr %a4
  %a5 = getelementptr i64, ptr %a, i64 5
  %threads = load i64, ptr %a5
  %a6 = getelementptr i64, ptr %a, i64 6
  %limit = load ptr, ptr %a6
  %unlimited = icmp eq ptr %limit, null
  br i1 %unlimited, label %go, label %bound
bound:
  %threads32 = trunc i64 %threads to i32
  call void %limit(i32 %threads32)
  br label %go
go:
  %n = trunc i64 %count to i32
  %status = call i32 %execute(ptr %primitive, ptr %stream, i32 %n, ptr %arguments)
  %wide = zext i32 %status to i64
  %shown = mul i64 %wide, 16
  ret i64 %shown
}

define i64 @NAME(ptr %block) {
entry:
  %b0 = load ptr, ptr %block
  %q1 = getelementptr i64, ptr %block, i64 1
  %b1 = load i64, ptr %q1
  %q2 = getelementptr i64, ptr %block, i64 2
  %b2 = load ptr, ptr %q2
  %q3 = getelementptr i64, ptr %block, i64 3
  %b3 = load i64, ptr %q3
  %q4 = getelementptr i64, ptr %block, i64 4
  %b4 = load ptr, ptr %q4
  %q5 = getelementptr i64, ptr %block, i64 5
  %cell = load ptr, ptr %q5
  %list = load ptr, ptr %cell
  %items = getelementptr i8, ptr %list, i64 SIZED
  %b5 = load ptr, ptr %items
  %q6 = getelementptr i64, ptr %block, i64 6
  %steps = load ptr, ptr %q6
  %q7 = getelementptr i64, ptr %block, i64 7
  %n = load i64, ptr %q7
  call void @rl_slots(ptr %b0, i64 %b1, ptr %b5)
  call void @rl_memories(ptr %b2, i64 %b3, ptr %b5, ptr %b4)
  br label %head
head:
  %i = phi i64 [0, %entry], [%next, %step]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %k = mul i64 %i, 2
  %p = getelementptr i64, ptr %steps, i64 %k
  %kind = load i64, ptr %p
  %p1 = getelementptr i64, ptr %p, i64 1
  %argument = load ptr, ptr %p1
  switch i64 %kind, label %region [ i64 0, label %kernel
                                    i64 1, label %primitive ]
kernel:
  %code0 = call i64 @rl_kernel(ptr %argument)
  br label %check
primitive:
  %code1 = call i64 @rl_primitive(ptr %argument)
  br label %check
region:
  %code2 = call i64 @rl_region(ptr %argument)
  br label %check
check:
  %code = phi i64 [%code0, %kernel], [%code1, %primitive], [%code2, %region]
  %next = add i64 %i, 1
  %bad = icmp ne i64 %code, 0
  br i1 %bad, label %failed, label %step
step:
  br label %head
failed:
  %high = mul i64 %next, 256
  %result = add i64 %high, %code
  ret i64 %result
done:
  ret i64 0
}
"""


def text(ir: str, name: str) -> str:
    """LLVM IR with the name of its function and what depends on the interpreter."""
    return ir.replace("NAME", name).replace("HEADER", str(HEADER)).replace("SIZED", str(SIZED))


@cache
def run() -> ctypes._CFuncPtr:  # type: ignore[name-defined]
    """The driver as a function of the address of a block; it runs without the interpreter's lock."""
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(COMPILED.address("driver", lambda name: text(IR, name)))
