#include "bindings/kernel_calls.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>

#include "bindings/arrays.h"
#include "bindings/unlocked.h"
#include "dispatch/dispatch.h"
#include "runtime/arena.h"
#include "runtime/floats.h"

namespace nacre {
namespace {

const KernelEntry& entry_of(const std::string& name, const std::optional<std::string>& isa) {
  const KernelTable& table = table_of(isa.value_or(""));
  const KernelEntry* entry = find_kernel(table, name);
  if (!entry) value_error("no kernel is called '" + name + "'");
  return *entry;
}

py::dict kernels(const std::optional<std::string>& isa) {
  const KernelTable& table = table_of(isa.value_or(""));
  py::dict all;
  for (const auto& [name, entry] : table.kernels) all[name.c_str()] = describe(entry);
  return all;
}

py::dict facts(const std::string& name, const py::dict& shape, const std::optional<std::string>& isa) {
  const KernelEntry& entry = entry_of(name, isa);
  const Facts f = entry.facts(shape_words(entry, shape).data());
  py::dict d;
  d["error"] = f.error ? py::object(py::str(f.error)) : py::object(py::none());
  d["units"] = f.units;
  d["scratch"] = f.scratch;
  d["flops"] = f.flops;
  py::list extents;
  for (int i = 0; i < entry.operands; ++i) {
    extents.append(f.extent[i].ok() ? py::object(py::int_(f.extent[i].value())) : py::object(py::none()));
  }
  d["extents"] = extents;
  return d;
}

// None: one slice; a number: that many slices of nearly equal size; or a list of (begin, end), run in the order given.
std::vector<Slice> slices_of(py::handle slices, i64 units) {
  std::vector<Slice> list;
  if (slices.is_none()) {
    list.push_back({0, units});
  } else if (py::isinstance<py::int_>(slices)) {
    const i64 n = slices.cast<i64>();
    if (n < 1) value_error("slices must be positive, got " + std::to_string(n));
    const i64 used = min_of(n, max_of(units, 1));
    for (i64 i = 0; i < used; ++i) {
      const i64 size = units / used, more = units % used;
      const i64 begin = i * size + min_of(i, more);
      list.push_back({begin, begin + size + (i < more ? 1 : 0)});
    }
  } else {
    for (const auto& pair : py::cast<std::vector<std::pair<i64, i64>>>(slices)) {
      if (pair.first < 0 || pair.second < pair.first || pair.second > units) {
        value_error("slice (" + std::to_string(pair.first) + ", " + std::to_string(pair.second) + ") is outside (0, " +
                    std::to_string(units) + ")");
      }
      list.push_back({pair.first, pair.second});
    }
  }
  return list;
}

// Where each operand of the call lies, with its dtype checked.
void bind_operands(const KernelEntry& entry, const py::tuple& inputs, const py::tuple& outputs, Region* regions,
                   void** pointers) {
  std::size_t taken[2] = {0, 0};
  const std::size_t given[2] = {inputs.size(), outputs.size()};
  std::size_t wanted[2] = {0, 0};
  for (int i = 0; i < entry.operands; ++i) ++wanted[entry.operand[i].is_output];
  for (int side = 0; side < 2; ++side) {
    if (given[side] != wanted[side]) {
      value_error(std::string("kernel '") + entry.name + "' takes " + std::to_string(wanted[side]) +
                  (side ? " outputs, got " : " inputs, got ") + std::to_string(given[side]));
    }
  }
  for (int i = 0; i < entry.operands; ++i) {
    const bool out = entry.operand[i].is_output;
    const std::size_t at = taken[out]++;
    const py::object array = (out ? outputs : inputs)[at];
    pointers[i] = nullptr;
    if (array.is_none()) continue;
    const Bytes b = bytes_of(array, out ? "output" : "input", static_cast<i64>(at));
    if (!is_dtype(py::reinterpret_borrow<py::array>(array), entry.operand[i].dtype)) {
      value_error(std::string("kernel '") + entry.name + "': " + operand_name(entry, i) + " got an array of dtype " +
                  std::string(py::str(py::reinterpret_borrow<py::array>(array).dtype())));
    }
    pointers[i] = b.at;
    regions[i].present = true;
    regions[i].writable = b.writable;
    regions[i].begin = static_cast<i64>(reinterpret_cast<std::intptr_t>(b.at));  // one space: the address space
    regions[i].bytes = b.n;
  }
}

void run_kernel(const std::string& name, const py::dict& shape, py::handle inputs, py::handle outputs,
                const std::optional<std::string>& isa, const py::object& slices) {
  const KernelEntry& entry = entry_of(name, isa);
  const std::vector<i64> words = shape_words(entry, shape);
  Region regions[kMaxOperands];
  void* pointers[kMaxOperands];
  const py::tuple kept_inputs = as_tuple(inputs), kept_outputs = as_tuple(outputs);
  bind_operands(entry, kept_inputs, kept_outputs, regions, pointers);
  const Facts f = verify_call(entry, words.data(), regions, "");
  // An absent operand and an empty one look the same to a kernel.
  for (int i = 0; i < entry.operands; ++i) {
    if (f.extent[i].value() == 0) pointers[i] = nullptr;
  }
  const std::vector<Slice> list = slices_of(slices, f.units);
  constexpr i64 guard = 4096;  // behind the workspace
  const Arena scratch(f.scratch > 0 ? std::min(f.scratch, INT64_MAX - guard) + guard : 0);
  bool beyond = false;
  {
    const Unlocked unlocked;
    const FlushSubnormals flush;
    for (const Slice& s : list) {
      if (f.scratch > 0)
        std::memset(scratch.at(), 0xff, static_cast<std::size_t>(scratch.bytes()));  // NaN: shows what reads it unset
      entry.run(words.data(), s, Scratch{scratch.at(), f.scratch}, pointers);
      const char* end = scratch.at() + f.scratch;
      beyond = beyond || (f.scratch > 0 && std::any_of(end, end + guard, [](char c) { return c != '\xff'; }));
    }
  }
  if (beyond) throw std::logic_error(name + " wrote behind its workspace of " + std::to_string(f.scratch) + " bytes");
}

}  // namespace

void bind_kernel_calls(py::module_& m) {
  using py::arg;
  m.def("kernels", &kernels, arg("isa") = py::none(),
        "Every kernel: name -> {fields: [(name, count, 'i' or 'f')], operands: [(dtype, 'in' or 'out')], in_place}.");
  m.def("facts", &facts, arg("name"), arg("shape"), arg("isa") = py::none(),
        "What a kernel says about a shape: {error, units, scratch, flops, extents}; an extent that overflows is None.");
  m.def("run_kernel", &run_kernel, arg("name"), arg("shape"), arg("inputs"), arg("outputs"), arg("isa") = py::none(),
        arg("slices") = py::none(),
        "Runs one kernel on arrays, checked, in this thread. slices: a number of equal slices, or a list of "
        "(begin, end) in the order to run.");
}

}  // namespace nacre
