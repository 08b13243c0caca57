// The Python module nacre._core: it binds tables, not ops.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings/crc32.h"
#include "bindings/kernel_calls.h"
#include "bindings/programs.h"
#include "bindings/swap.h"
#include "bindings/unlocked.h"
#include "dispatch/dispatch.h"
#include "kernels/elementwise_codes.h"

namespace nacre {
namespace {

std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (const KernelTable& t : runnable_tables()) names.emplace_back(t.isa);
  return names;
}

pybind11::dict elementwise_codes() {
  pybind11::dict codes;
  for (int code = 0; code < elementwise_count; ++code) {
    codes[elementwise_name(code)] = pybind11::make_tuple(code, elementwise_arity(code));
  }
  return codes;
}

template <std::uint32_t (*checksum)(const unsigned char*, std::size_t, std::uint32_t)>
std::uint32_t checksum_of(const pybind11::buffer& bytes, std::uint32_t before) {
  const pybind11::buffer_info info = bytes.request();
  if (info.ndim != 1 || info.itemsize != 1 || (info.size > 1 && info.strides[0] != 1)) {
    throw pybind11::value_error("checksum: expected contiguous bytes");
  }
  const Unlocked unlocked;
  return checksum(static_cast<const unsigned char*>(info.ptr), static_cast<std::size_t>(info.size), before);
}

}  // namespace

PYBIND11_MODULE(_core_in_main, m) {
  m.doc() = "Kernels and the runtime of nacre";
  active_table();  // a NACRE_ISA that cannot be is reported by the import
  m.def("isas", &isas, "Instruction sets that this build can use on this CPU, weakest first.");
  m.def("isa", [] { return active_table().isa; }, "The instruction set in use.");
  m.def("elementwise_codes", &elementwise_codes, "Opcodes of the elementwise bytecode: name -> (code, operands).");
  const pybind11::arg_v none_before(pybind11::arg("before") = 0);
  m.attr("crc32") = pybind11::none();
  if (crc32_is_fast()) m.def("crc32", &checksum_of<crc32>, pybind11::arg("bytes"), none_before);
  m.def("crc32c", &checksum_of<crc32c>, pybind11::arg("bytes"), none_before);
  m.add_object("Swap", pybind11::reinterpret_steal<pybind11::object>(swap_type()));
  bind_kernel_calls(m);
  bind_programs(m);
}

// pybind11 waits for itself where a sub-interpreter is the first to load a module (before Python 3.12).
extern "C" PYBIND11_EXPORT PyObject* PyInit__core() {
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_ImportError, "nacre does not work in sub-interpreters: use it in the main interpreter");
    return nullptr;
  }
  return PyInit__core_in_main();
}

}  // namespace nacre
