"""Every way in which a scene can be unusable, with the exit code and the name that a Seed manifest gives it.

EoError
  SceneError                 the input is to blame: running it again will not help (Seed category `data`)
    UnreadableFileError      10  unreadable-file
    BandMissingError         11  band-missing
    BandAmbiguousError       12  band-ambiguous
    NotGeoreferencedError    13  no-crs
    CrsMismatchError         14  crs-mismatch
    GridMismatchError        15  grid-mismatch
    EmptyOverlapError        16  empty-overlap
    NoValidPixelsError       17  no-valid-pixels
    CalibrationUnknownError  18  calibration-unknown
    ProductIncompleteError   19  product-incomplete
    ProductMetadataError     20  product-metadata
    ArchiveRefusedError      21  archive-refused
    DateOrderError           24  date-order
    NoClearObservationError  25  no-clear-observation
    HarmonizationError       26  cannot-harmonize
    MosaicTooLargeError      27  mosaic-too-large
    AnglesError              28  angles-unusable
    SensorError              29  sensor-unsupported
  ExpressionError            22  bad-expression       (Seed category `job`)
  IndexUnknownError          23  index-unknown        (Seed category `job`)
  ParameterError             30  bad-parameter        (Seed category `job`)
  OutputError                31  output-not-written   (Seed category `job`)
"""

from __future__ import annotations

from typing import ClassVar


class EoError(Exception):
    """Ends a processing run; its message is one sentence for the person who reads the log."""

    exit_code: ClassVar[int]  # of the process; 1, 2 and above 125 mean other things to Python, shells and Docker
    name: ClassVar[str]  # in the manifest's list of errors
    category: ClassVar[str]  # Seed's: "data" is the input's fault, "job" the algorithm's or its parameters'


class SceneError(EoError):
    """The input cannot be processed, however often it is tried."""

    category = "data"


class UnreadableFileError(SceneError):
    """A file is missing, empty, damaged or of a format that is not read."""

    exit_code = 10
    name = "unreadable-file"


class BandMissingError(SceneError):
    """The scene holds no band of the wanted name or number."""

    exit_code = 11
    name = "band-missing"


class BandAmbiguousError(SceneError):
    """The scene holds more than one band that could be meant."""

    exit_code = 12
    name = "band-ambiguous"


class NotGeoreferencedError(SceneError):
    """A band has no coordinate reference system or no geotransform."""

    exit_code = 13
    name = "no-crs"


class CrsMismatchError(SceneError):
    """The bands are in different coordinate reference systems."""

    exit_code = 14
    name = "crs-mismatch"


class GridMismatchError(SceneError):
    """The bands' grids are rotated against each other or otherwise beyond resampling."""

    exit_code = 15
    name = "grid-mismatch"


class EmptyOverlapError(SceneError):
    """The bands cover no common ground."""

    exit_code = 16
    name = "empty-overlap"


class NoValidPixelsError(SceneError):
    """Every pixel of the common ground is without data."""

    exit_code = 17
    name = "no-valid-pixels"


class CalibrationUnknownError(SceneError):
    """The metadata contradict each other or cannot be read, so the reflectance offset cannot be known."""

    exit_code = 18
    name = "calibration-unknown"


class ProductIncompleteError(SceneError):
    """An image of a product is missing, or smaller than the product's metadata say."""

    exit_code = 19
    name = "product-incomplete"


class ProductMetadataError(SceneError):
    """A product's metadata are missing, damaged or contradict each other."""

    exit_code = 20
    name = "product-metadata"


class ArchiveRefusedError(SceneError):
    """An archive holds names or sizes that no product has."""

    exit_code = 21
    name = "archive-refused"


class ExpressionError(EoError):
    """An expression is none, or asks for what is not allowed in one."""

    exit_code = 22
    name = "bad-expression"
    category = "job"


class IndexUnknownError(EoError):
    """No index has the wanted name."""

    exit_code = 23
    name = "index-unknown"
    category = "job"


class DateOrderError(SceneError):
    """The scenes' dates are unknown, alike or not in the order of time."""

    exit_code = 24
    name = "date-order"


class NoClearObservationError(SceneError):
    """No pixel is clear on any date."""

    exit_code = 25
    name = "no-clear-observation"


class HarmonizationError(SceneError):
    """No two scenes show enough of the same ground for their radiometry to be matched."""

    exit_code = 26
    name = "cannot-harmonize"


class MosaicTooLargeError(SceneError):
    """The scenes lie so far apart that the mosaic would have more than 10,000 megapixels."""

    exit_code = 27
    name = "mosaic-too-large"


class AnglesError(SceneError):
    """Where the sun or the sensor stood is not known, or is beyond what is computed."""

    exit_code = 28
    name = "angles-unusable"


class SensorError(SceneError):
    """The sensor is not one that is corrected, or the scene has been corrected already."""

    exit_code = 29
    name = "sensor-unsupported"


class ParameterError(EoError):
    """A parameter has a value that makes no sense."""

    exit_code = 30
    name = "bad-parameter"
    category = "job"


class OutputError(EoError):
    """An output could not be written completely, as when the disk is full."""

    exit_code = 31
    name = "output-not-written"
    category = "job"


ALL_ERRORS: tuple[type[EoError], ...] = (
    UnreadableFileError,
    BandMissingError,
    BandAmbiguousError,
    NotGeoreferencedError,
    CrsMismatchError,
    GridMismatchError,
    EmptyOverlapError,
    NoValidPixelsError,
    CalibrationUnknownError,
    ProductIncompleteError,
    ProductMetadataError,
    ArchiveRefusedError,
    ExpressionError,
    IndexUnknownError,
    DateOrderError,
    NoClearObservationError,
    HarmonizationError,
    MosaicTooLargeError,
    AnglesError,
    SensorError,
    ParameterError,
    OutputError,
)
