// Between NumPy arrays and plain memory.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "dispatch/dispatch.h"
#include "runtime/verify.h"

namespace nacre {
namespace py = pybind11;

// A C-contiguous array as bytes; `what` names it in errors. Throws TypeError for what is no array (or holds Python
// objects) and ValueError for one that is not contiguous.
struct Bytes {
  char* at = nullptr;
  i64 n = 0;
  bool writable = false;
};
Bytes bytes_of(py::handle array, const char* what, i64 number);

// What is in a sequence. A list could be emptied by another thread while a run has released the interpreter; a tuple keeps
// what it holds.
py::tuple as_tuple(py::handle sequence);

// True if the array's elements are what a kernel means by `t` (bool passes for uint8; anything for an untyped buffer).
bool is_dtype(const py::array& array, DType t);

// The shape struct as 8-byte words. ValueError for missing and unknown names, wrong lengths, numbers that do not fit.
std::vector<i64> shape_words(const KernelEntry& entry, const py::dict& shape);

// {fields, operands, in_place} of one kernel, for Python.
py::dict describe(const KernelEntry& entry);

// ValueError with the given text.
[[noreturn]] void value_error(const std::string& text);

}  // namespace nacre
