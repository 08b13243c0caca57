// Program: runs what the decoder has proven, on arrays checked at the door.
#pragma once
#include <pybind11/pybind11.h>

namespace nacre {

void bind_programs(pybind11::module_& m);

}  // namespace nacre
