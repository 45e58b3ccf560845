"""The native driver: one call runs a stretch of a plan without Python in between.

It fills addresses into argument blocks and into oneDNN's memory objects, then runs the steps in order: generated kernels,
divided among OpenMP's threads, and oneDNN primitives. Written in LLVM IR once for all plans.

``run(block)`` reads 64-bit words: [0] slot patches, [1] their number, [2] memory patches, [3] their number,
[4] dnnl_memory_set_data_handle, [5] objects, [6] steps, [7] their number, [8] omp_set_num_threads or 0, [9] threads.

- slot patch (3 words): address to fill, number of the object, offset in bytes;
- memory patch (4 words): dnnl_memory, number of the object, offset, address it has;
- object: the address of a NumPy array object, whose data pointer follows the object header;
- step (2 words): kind, argument block. Kind 0, a kernel: [kernel, units, threads, slots, GOMP_parallel, omp_get_thread_num,
  omp_get_num_threads, error]. Kind 1, a primitive: [dnnl_primitive_execute, primitive, stream, count, arguments].

The result is 0, or the number of the failed step (from 1) times 256 plus its code.
"""

from __future__ import annotations

import ctypes
from functools import cache

from rushlight.exec.cpu.jit import COMPILED

HEADER = object.__basicsize__  # of every Python object; in an array object the data pointer comes next

IR = """
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
  %kernel = load ptr, ptr %a
  %a1 = getelementptr i64, ptr %a, i64 1
  %units = load i64, ptr %a1
  %a3 = getelementptr i64, ptr %a, i64 3
  %slots = load ptr, ptr %a3
  %a5 = getelementptr i64, ptr %a, i64 5
  %number = load ptr, ptr %a5
  %a6 = getelementptr i64, ptr %a, i64 6
  %count = load ptr, ptr %a6
  %t32 = call i32 %number()
  %n32 = call i32 %count()
  %t = sext i32 %t32 to i64
  %n = sext i32 %n32 to i64
  %low = mul i64 %units, %t
  %begin = sdiv i64 %low, %n
  %t1 = add i64 %t, 1
  %high = mul i64 %units, %t1
  %end = sdiv i64 %high, %n
  %code = call i64 %kernel(ptr %slots, i64 %begin, i64 %end, i64 %t)
  %bad = icmp ne i64 %code, 0
  br i1 %bad, label %fail, label %done
fail:
  %a7 = getelementptr i64, ptr %a, i64 7
  store atomic i64 %code, ptr %a7 monotonic, align 8
  br label %done
done:
  ret void
}

define internal i64 @rl_kernel(ptr %a) {
  %kernel = load ptr, ptr %a
  %a1 = getelementptr i64, ptr %a, i64 1
  %units = load i64, ptr %a1
  %a2 = getelementptr i64, ptr %a, i64 2
  %threads = load i64, ptr %a2
  %a3 = getelementptr i64, ptr %a, i64 3
  %slots = load ptr, ptr %a3
  %serial = icmp sle i64 %threads, 1
  br i1 %serial, label %one, label %many
one:
  %code = call i64 %kernel(ptr %slots, i64 0, i64 %units, i64 0)
  ret i64 %code
many:
  %a4 = getelementptr i64, ptr %a, i64 4
  %parallel = load ptr, ptr %a4
  %a7 = getelementptr i64, ptr %a, i64 7
  store i64 0, ptr %a7
  %count = trunc i64 %threads to i32
  call void %parallel(ptr @rl_part, ptr %a, i32 %count, i32 0)
  %result = load atomic i64, ptr %a7 monotonic, align 8
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
  %b5 = load ptr, ptr %q5
  %q6 = getelementptr i64, ptr %block, i64 6
  %steps = load ptr, ptr %q6
  %q7 = getelementptr i64, ptr %block, i64 7
  %n = load i64, ptr %q7
  %q8 = getelementptr i64, ptr %block, i64 8
  %limit = load ptr, ptr %q8
  %unlimited = icmp eq ptr %limit, null
  br i1 %unlimited, label %start, label %bound
bound:
  %q9 = getelementptr i64, ptr %block, i64 9
  %threads = load i64, ptr %q9
  %threads32 = trunc i64 %threads to i32
  call void %limit(i32 %threads32)
  br label %start
start:
  call void @rl_slots(ptr %b0, i64 %b1, ptr %b5)
  call void @rl_memories(ptr %b2, i64 %b3, ptr %b5, ptr %b4)
  br label %head
head:
  %i = phi i64 [0, %start], [%next, %step]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %k = mul i64 %i, 2
  %p = getelementptr i64, ptr %steps, i64 %k
  %kind = load i64, ptr %p
  %p1 = getelementptr i64, ptr %p, i64 1
  %argument = load ptr, ptr %p1
  %loop = icmp eq i64 %kind, 0
  br i1 %loop, label %kernel, label %primitive
kernel:
  %code0 = call i64 @rl_kernel(ptr %argument)
  br label %check
primitive:
  %code1 = call i64 @rl_primitive(ptr %argument)
  br label %check
check:
  %code = phi i64 [%code0, %kernel], [%code1, %primitive]
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


@cache
def run() -> ctypes._CFuncPtr:  # type: ignore[name-defined]
    """The driver as a function of the address of a block; it runs without the interpreter's lock."""
    address = COMPILED.address("driver", lambda name: IR.replace("NAME", name).replace("HEADER", str(HEADER)))
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(address)
