// kernels(), facts(), run_kernel(): every kernel at every ISA and any split, for tests and tools.
#pragma once
#include <pybind11/pybind11.h>

namespace nacre {

void bind_kernel_calls(pybind11::module_& m);

}  // namespace nacre
