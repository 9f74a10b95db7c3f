// Every kernel of one ISA level. setup.py compiles this file once per level, with that level's
// flags and FASTCONV_LEVEL set to its name; nothing else is compiled with those flags.
#define FASTCONV_STRING_(x) #x
#define FASTCONV_STRING(x) FASTCONV_STRING_(x)

#include "tile.hpp"

#include "convert.hpp"
#include "dot.hpp"
#include "lanefft.hpp"
#include "passes.hpp"
#include "products.hpp"
#include "spectrum.hpp"
#include "template_sums.hpp"
#include "winograd.hpp"

namespace fastconv {

#define FASTCONV_TABLE_(level) level_##level
#define FASTCONV_TABLE(level) FASTCONV_TABLE_(level)

#define FASTCONV_CONVERSIONS(Scalar)                                         \
  conversion<Bool, Scalar>(), conversion<signed char, Scalar>(),             \
      conversion<unsigned char, Scalar>(), conversion<short, Scalar>(),      \
      conversion<unsigned short, Scalar>(), conversion<int, Scalar>(),       \
      conversion<unsigned int, Scalar>(), conversion<long long, Scalar>(),   \
      conversion<unsigned long long, Scalar>(), conversion<float, Scalar>(), \
      conversion<double, Scalar>()

extern const Level FASTCONV_TABLE(FASTCONV_LEVEL);
const Level FASTCONV_TABLE(FASTCONV_LEVEL) = {
    FASTCONV_STRING(FASTCONV_LEVEL),
    {
        tile_set<Boolean>(),
        tile_set<Number<unsigned char>>(),
        tile_set<Number<unsigned short>>(),
        tile_set<Number<unsigned int>>(),
        tile_set<Number<unsigned long long>>(),
        tile_set<Number<float>>(),
        tile_set<Number<double>>(),
        tile_set<Number<long double>>(),
        tile_set<Complex<float>>(),
        tile_set<Complex<double>>(),
        tile_set<Complex<long double>>(),
    },
    {multiply_spectrum<float>, multiply_spectrum<double>, all_finite<float>, all_finite<double>,
     zero_nonfinite<float>, zero_nonfinite<double>, round_to_integers},
    lane_set<float>(),
    lane_set<double>(),
    pass_set<float>(),
    pass_set<double>(),
    product_set<float>(),
    product_set<double>(),
    dot_set<float>(),
    dot_set<double>(),
    winograd_set<float>(),
    winograd_set<double>(),
    {FASTCONV_CONVERSIONS(float)},
    {FASTCONV_CONVERSIONS(double)},
    template_set<float>(),
    template_set<double>(),
};

}  // namespace fastconv
