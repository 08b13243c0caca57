#include "bindings/arrays.h"

#include <algorithm>
#include <cstring>

namespace nacre {

void value_error(const std::string& text) { throw py::value_error(text); }

py::tuple as_tuple(py::handle sequence) {
  PyObject* tuple = PySequence_Tuple(sequence.ptr());
  if (!tuple) throw py::error_already_set();
  return py::reinterpret_steal<py::tuple>(tuple);
}

Bytes bytes_of(py::handle array, const char* what, i64 number) {
  if (!py::isinstance<py::array>(array)) {
    throw py::type_error(std::string(what) + " " + std::to_string(number) + " must be a numpy array, got " +
                         std::string(py::str(py::type::of(array))));
  }
  const auto a = py::reinterpret_borrow<py::array>(array);
  const int flags = a.flags();
  if (!(flags & py::array::c_style)) {
    value_error(std::string(what) + " " + std::to_string(number) +
                " must be C-contiguous; pass np.ascontiguousarray(...)");
  }
  if (!(flags & py::detail::npy_api::NPY_ARRAY_ALIGNED_)) {
    value_error(std::string(what) + " " + std::to_string(number) + " is not aligned to its dtype; pass a copy");
  }
  if (a.dtype().kind() == 'O') {
    throw py::type_error(std::string(what) + " " + std::to_string(number) + " holds Python objects, not numbers");
  }
  Bytes b;
  b.at = static_cast<char*>(const_cast<void*>(a.data()));
  b.n = static_cast<i64>(a.nbytes());
  b.writable = (flags & py::detail::npy_api::NPY_ARRAY_WRITEABLE_) != 0;
  return b;
}

bool is_dtype(const py::array& array, DType t) {
  if (t == DType::none) return true;
  const py::dtype d = array.dtype();
  const char order = d.byteorder();
  if (order != '=' && order != '|') return false;
  const char kind = d.kind();
  if (d.itemsize() != size_of(t)) return false;
  switch (t) {
    case DType::f32:
    case DType::f64: return kind == 'f';
    case DType::i32:
    case DType::i64: return kind == 'i';
    case DType::u8: return kind == 'u' || kind == 'b';
    default: return kind == 'b';
  }
}

namespace {

i64 word_of(const KernelEntry& entry, const Field& f, py::handle value) {
  const std::string name = std::string("kernel '") + entry.name + "': field '" + f.name + "'";
  if (f.is_real) {
    const double real = PyFloat_AsDouble(value.ptr());
    if (real == -1.0 && PyErr_Occurred()) {
      PyErr_Clear();
      value_error(name + " must be a number, got " + std::string(py::repr(value)));
    }
    i64 word;
    std::memcpy(&word, &real, sizeof word);
    return word;
  }
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  const long long whole = index ? PyLong_AsLongLong(index.ptr()) : -1;
  if (PyErr_Occurred()) {
    PyErr_Clear();
    value_error(name + " must be a whole number of 64 bits, got " + std::string(py::repr(value)));
  }
  return whole;
}

}  // namespace

std::vector<i64> shape_words(const KernelEntry& entry, const py::dict& shape) {
  std::vector<i64> words(static_cast<std::size_t>(entry.slots), 0);
  for (int i = 0; i < entry.fields.n; ++i) {
    const Field& f = entry.fields.at[i];
    const std::string name = std::string("kernel '") + entry.name + "': field '" + f.name + "'";
    if (!shape.contains(f.name)) value_error(name + " is missing");
    const py::object value = shape[f.name];
    if (f.count == 1) {
      words[static_cast<std::size_t>(f.slot)] = word_of(entry, f, value);
      continue;
    }
    if (!py::isinstance<py::sequence>(value) || py::len(value) != static_cast<std::size_t>(f.count)) {
      value_error(name + " must be a sequence of " + std::to_string(f.count) + ", got " + std::string(py::repr(value)));
    }
    for (int k = 0; k < f.count; ++k) {
      words[static_cast<std::size_t>(f.slot + k)] = word_of(entry, f, py::sequence(value)[static_cast<std::size_t>(k)]);
    }
  }
  if (py::len(shape) != static_cast<std::size_t>(entry.fields.n)) {
    for (const auto& item : shape) {
      bool known = false;
      for (int i = 0; i < entry.fields.n; ++i)
        known = known || py::str(item.first).equal(py::str(entry.fields.at[i].name));
      if (!known)
        value_error(std::string("kernel '") + entry.name + "' has no field " + std::string(py::repr(item.first)));
    }
  }
  return words;
}

py::dict describe(const KernelEntry& entry) {
  std::vector<const Field*> in_order(static_cast<std::size_t>(entry.fields.n));
  for (int i = 0; i < entry.fields.n; ++i) in_order[static_cast<std::size_t>(i)] = &entry.fields.at[i];
  std::sort(in_order.begin(), in_order.end(), [](const Field* a, const Field* b) { return a->slot < b->slot; });
  py::list fields, operands;
  for (const Field* f : in_order) fields.append(py::make_tuple(f->name, f->count, f->is_real ? "f" : "i"));
  for (int i = 0; i < entry.operands; ++i) {
    operands.append(py::make_tuple(name_of(entry.operand[i].dtype), entry.operand[i].is_output ? "out" : "in"));
  }
  py::dict d;
  d["fields"] = fields;
  d["operands"] = operands;
  d["in_place"] = entry.in_place;
  return d;
}

}  // namespace nacre
