// `Swap(target, name=value, ...)`: while its block runs, these attributes of `target` have these values.
//
// Written in C: Ctrl-C is handled where Python code begins or comes back from a call, so before or behind `__enter__` and
// `__exit__`, and never between what they do and the block.
#pragma once

#include <Python.h>

namespace nacre {

PyObject* swap_type();

}  // namespace nacre
