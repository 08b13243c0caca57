// What convolution and its gradients share: one correlation over an image, cut into blocks of output pixels, and how the
// pixels of a block are read.
//
// An axis maps output i and tap t to input i*stride + tap0 + t*step. Forward convolution has one correlation. The gradient
// of x has one per phase (ih mod SH, iw mod SW): within a phase the taps that meet it stand at fixed distances in dy.
//
// A block is read in one of three ways. Direct: it needs no padding, the taps point into the image. Window: the rows that
// it needs are copied once with their zero border. Patches: for wide dilation, where the window would be mostly unused, each
// pixel's taps are copied side by side. In the last two the taps of a row are one contiguous run of floats.
#pragma once
#include "kernels/conv2d.h"
#include "simd/simd.h"

namespace nacre::NACRE_ISA {

struct Axis {
  i64 out, stride, tap0, step, taps, in;
  i64 y0, y_step;  // output i stands at y0 + i*y_step
  i64 k0, k_step;  // tap t is row k0 + t*k_step of the weights
  inline __attribute__((always_inline)) i64 at(i64 i, i64 t) const { return i * stride + tap0 + t * step; }
  inline __attribute__((always_inline)) i64 span(i64 n) const {
    return n > 0 && taps > 0 ? (n - 1) * stride + (taps - 1) * step + 1 : 0;
  }
};

struct Correlation {
  i64 N;
  Axis h, w;
  i64 C, ldx;       // channels of one group, distance between input pixels
  i64 YW, YH, ldy;  // the output image
};

// A run of output pixels: whole images, whole rows of one image, or a part of one row.
struct Block {
  i64 n0, nb, h0, hb, w0, wb;
};

struct Cut {  // how many images, rows, columns a block has at most
  i64 nb, hb, wb;
  i64 n_blocks, h_blocks, w_blocks;
  bool patches;
  i64 floats;  // of workspace for the copy of one block, behind which there must be a vector's room
};

// Pixel (image, row, column) of a block starts at x + image*image_step + row*row_step + column*px_step; its taps are
// nh x nw runs of `run` floats.
struct View {
  const float* x;
  i64 px_step, row_step, image_step;
  i64 nh, tap_row, nw, tap_col, run;
};

const char* conv2d_error(const Conv2DShape& s, i64 most_act = 1);  // null when the fields make sense
NACRE_INLINE i64 ldx_of(const Conv2DShape& s) { return s.ldx ? s.ldx : s.C; }
NACRE_INLINE i64 ldy_of(const Conv2DShape& s) { return s.ldy ? s.ldy : s.O; }
NACRE_INLINE i64 ldr_of(const Conv2DShape& s) { return s.ldr ? s.ldr : s.O; }
// Whether each output pixel sees the input pixel at its place and no other.
NACRE_INLINE bool pointwise(const Conv2DShape& s) {
  return s.KH == 1 && s.KW == 1 && s.SH == 1 && s.SW == 1 && s.PT == 0 && s.PL == 0 && s.OH == s.H && s.OW == s.W;
}
Count pixels_extent(Count n, Count h, Count w, i64 channels, i64 ld);  // floats from the first to the last touched

Correlation forward_correlation(const Conv2DShape& s);
// Phase (rh, rw) of the gradient of x; phases are [0, min(SH, H)) x [0, min(SW, W)).
Correlation grad_x_correlation(const Conv2DShape& s, i64 rh, i64 rw);
// As large as any phase, for planning.
Correlation grad_x_widest(const Conv2DShape& s);

// Blocks of at most `px` pixels whose copy stays within `floats` if that is possible at all.
Cut cut_blocks(const Correlation& q, i64 px, i64 floats, bool may_patch = true);
Block block_at(const Correlation& q, const Cut& cut, i64 index);
// x points at the first channel of the group; C channels of each pixel are wanted. They are copied where the block meets
// padding or the view may not point into x.
View view_block(const Correlation& q, const Cut& cut, const Block& b, const float* x, i64 C, float* copy,
                bool may_point = true);

// The taps of a row become one run where they follow each other; C channels each.
NACRE_INLINE void join_taps(View& v, i64 C) {
  if (v.tap_col != C && v.nw != 1) return;
  v.run = v.nw * C;
  v.nw = 1;
}

// Memory that the next block will read, asked for a line or two at a time while this one is being worked on. What of each
// pixel lies far from that of the next takes several passes over the pixels.
struct Wanted {
  const float *at = nullptr, *end = nullptr;
  i64 apart = 16;             // floats from what is asked for to what is asked for next
  i64 passes = 0, width = 0;  // that follow, each so many floats on
  i64 length = 0;             // floats from the first pixel of a pass to its end
  i64 left_of_pass() const;   // asks
};
struct Ahead {
  Wanted now{}, then{};
  i64 step = 0;  // asks at a time
  i64 left() const;
  void turn();  // to the next pass, if one is at its end
  inline __attribute__((always_inline)) void ask() {
    for (i64 i = 0; i < step && now.at < now.end; ++i, now.at += now.apart) prefetch_far(now.at);
    if (now.end && now.at >= now.end) turn();
  }
};
// The outputs of q as an image that is read pixel by pixel.
Correlation output_image(const Correlation& q);
// C channels of block b of x, `width` floats at a time.
Wanted wanted_of(const Correlation& q, const Block& b, const float* x, i64 C, i64 width);
// The same, then those of y, in about `times` steps.
Ahead ahead_of(const Wanted& x, const Wanted& y, i64 times);

Axis forward_rows(const Conv2DShape& s);
Axis forward_columns(const Conv2DShape& s);
Axis grad_x_rows(const Conv2DShape& s, i64 phase);
Axis grad_x_columns(const Conv2DShape& s, i64 phase);
// Taps [first, last) of output i that lie within the input.
struct Taps {
  i64 first, last;
};
Taps taps_inside(const Axis& a, i64 i);
// The rows of taps that meet the input for any of the outputs first .. last, where taps are neighbours: the others only add 0.
NACRE_INLINE Taps rows_inside(const Axis& a, i64 first, i64 last) {
  const i64 from = min_of(max_of(-a.at(last, 0), 0), a.taps);
  return {from, max_of(min_of(a.in - a.at(first, 0), a.taps), from)};
}
// Outputs [first, last) all of whose taps lie within the input.
Taps outputs_inside(const Axis& a);
NACRE_INLINE bool everywhere_inside(const Axis& a) {
  const Taps inside = outputs_inside(a);
  return inside.first == 0 && inside.last == a.out;
}

// Neighbours [first, last) along an axis whose outputs see the same taps: at most 2*taps + 1 pieces of n outputs.
struct Piece {
  i64 first, last;
  Taps taps;
};
i64 cut_axis(const Axis& a, i64 first, i64 n, Piece* to);

// Whether so many taps fall on padding that it pays to take pixels together that see the same ones, where a part of a block
// costs as much as `part_px` pixels.
bool in_parts(const Correlation& q, double part_px);
constexpr i64 kLineFloats = 16;  // groups that read no more of a pixel take turns on a block
constexpr i64 kCutTaps = 32, kMostPieces = 2 * kCutTaps + 1;  // of such an axis, at most;
constexpr i64 kFewestChannels = 8;                            // for less the parts cost more
View view_part(const Correlation& q, i64 n0, const Piece& h, const Piece& w, const float* x, i64 C);

// Rows of the weights in the order in which the taps of q are met, n channels from o0, as a panel [K][ld] padded with 0.
// Sliding tiles meet the taps of a row channel by channel.
void pack_panel(const Correlation& q, const Conv2DShape& s, bool swapped, bool sliding, i64 g, i64 o0, i64 n, i64 ld,
                const float* w, float* to);

// to = sum over p of from[p*size ...], parts in order; unit u is a run of kJoinFloats floats.
constexpr i64 kJoinFloats = 4096;
void join_parts(i64 unit, i64 parts, i64 size, const float* from, float* to);

NACRE_INLINE bool aligned(const float* p) { return reinterpret_cast<unsigned long>(p) % (kLanes * sizeof(float)) == 0; }
void copy_floats(float* to, const float* from, i64 n);
void zero_floats(float* to, i64 n);
// to[n][m] = from[m][n] for M x N floats
void transpose(float* to, i64 ld_to, const float* from, i64 ld_from, i64 M, i64 N);

}  // namespace nacre::NACRE_ISA
