// Every kernel family, one header a line.
#pragma once
#include "kernels/concat.h"
#include "kernels/elementwise.h"
#include "kernels/fill.h"
#include "kernels/gather.h"
#include "kernels/movement.h"
#include "kernels/reduce.h"
#include "kernels/scan.h"
#include "kernels/conv2d.h"
#include "kernels/dense.h"
#include "kernels/matmul.h"
#include "kernels/pool2d.h"
#include "kernels/softmax.h"
