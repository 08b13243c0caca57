#include "bindings/swap.h"

#include <cstddef>

namespace nacre {
namespace {

struct Swap {
  PyObject ob_base;
  PyObject* target;
  PyObject* others;  // by attribute: the values that it does not have at the moment
};

PyObject* make(PyTypeObject* type, PyObject* args, PyObject* values) {
  PyObject* target;
  if (!PyArg_ParseTuple(args, "O", &target)) return nullptr;
  auto* self = reinterpret_cast<Swap*>(type->tp_alloc(type, 0));
  if (!self) return nullptr;
  self->target = Py_NewRef(target);
  self->others = values ? PyDict_Copy(values) : PyDict_New();
  return reinterpret_cast<PyObject*>(self);
}

void drop(PyObject* object) {
  auto* self = reinterpret_cast<Swap*>(object);
  Py_XDECREF(self->target);
  Py_XDECREF(self->others);
  PyTypeObject* type = Py_TYPE(object);
  type->tp_free(object);
  Py_DECREF(type);
}

PyObject* exchange(PyObject* object, PyObject*) {
  auto* self = reinterpret_cast<Swap*>(object);
  PyObject *name, *other;
  for (Py_ssize_t at = 0; PyDict_Next(self->others, &at, &name, &other);) {
    PyObject* now = PyObject_GetAttr(self->target, name);
    const bool failed = !now || PyObject_SetAttr(self->target, name, other) || PyDict_SetItem(self->others, name, now);
    Py_XDECREF(now);
    if (failed) return nullptr;
  }
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"__enter__", exchange, METH_NOARGS, nullptr}, {"__exit__", exchange, METH_VARARGS, nullptr}, {}};
PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(make)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(drop)},
                       {Py_tp_methods, methods},
                       {}};
PyType_Spec spec = {"nacre._core.Swap", sizeof(Swap), 0, Py_TPFLAGS_DEFAULT, slots};

}  // namespace

PyObject* swap_type() { return PyType_FromSpec(&spec); }

}  // namespace nacre
