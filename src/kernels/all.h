// Every kernel family, one header a line.
#pragma once
#include "kernels/fill.h"
