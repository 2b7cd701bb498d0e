"""The test files: every supported container, codec and property that FFmpeg can write."""

from stica_pv.commands.reader_check.specimens import Specimen

_QUICK = {"deadline": "realtime", "cpu-used": "8"}
_X264 = {"preset": "ultrafast", "bf": "0"}
_B = {"preset": "veryfast", "bf": "3"}
_X265 = {"preset": "ultrafast", "x265-params": "log-level=none:bframes=0"}
_X265_OPEN = {"preset": "veryfast", "x265-params": "log-level=none:bframes=3:open-gop=1"}
_OPEN = {"preset": "veryfast", "bf": "3", "x264-params": "open-gop=1"}
_AV1 = {"preset": "12"}
_NO_B, _TWO_B = {"bf": "0"}, {"bf": "2"}
_HIDDEN = {"deadline": "good", "cpu-used": "4", "auto-alt-ref": "1", "lag-in-frames": "16"}

_NO_DELAY = "AVI cannot store the delay of an encoder, and media software does not guess it"
_LATE_GAPS = "with B-frames FFmpeg writes the gaps between slots late, by the number of reordered frames"

CODECS = (
    Specimen("mp4", "libx264", "aac", "B-frames", options=_B),
    Specimen("mp4", "libx265", "aac", "B-frames, open GOP", options=_X265_OPEN),
    Specimen("mp4", "libsvtav1", "libopus", rate_hz=48000, options=_AV1),
    Specimen("mp4", "libvpx-vp9", "flac", options=_QUICK),
    Specimen("mp4", "libx264", "aac", "B-frames, open GOP", options=_OPEN),
    Specimen("mp4", "mpeg4", "libmp3lame", "B-frames", options=_TWO_B),
    Specimen("mp4", "mpeg2video", "mp2", "B-frames", options=_TWO_B),
    Specimen("mov", "libx265", "aac", "B-frames, open GOP", options=_X265_OPEN),
    Specimen("mov", "prores_ks", "pcm_s16le", "10-bit", rate_hz=48000, pixels="yuv422p10le"),
    Specimen("mov", "mjpeg", "alac", pixels="yuvj420p"),
    Specimen("mov", "qtrle", "pcm_s24le", pixels="rgb24", rate_hz=48000),
    Specimen("avi", "mpeg4", "libmp3lame", options=_NO_B),
    Specimen("avi", "mpeg4", "libmp3lame", "B-frames", options=_TWO_B),
    Specimen("avi", "libx264", "aac", "B-frames", options=_B),
    Specimen("avi", "libx264", "aac", options=_X264),
    Specimen("avi", "libx264", "pcm_s16le", "B-frames, open GOP", options=_OPEN),
    Specimen("avi", "mpeg2video", "mp2", "B-frames", options=_TWO_B),
    Specimen("avi", "mpeg4", "libmp3lame", "delay left in", options=_TWO_B, keeps_delay=True, cause=_NO_DELAY),
    Specimen("avi", "libx264", "aac", "delay left in", options=_B, keeps_delay=True, cause=_NO_DELAY),
    Specimen("avi", "msmpeg4", "ac3", rate_hz=48000, size=(256, 128)),
    Specimen("avi", "msmpeg4v2", "libmp3lame", size=(256, 128)),
    Specimen("avi", "wmv1", "wmav2"),
    Specimen("avi", "wmv2", "pcm_s16le", rate_hz=22050),
    Specimen("avi", "mjpeg", "pcm_u8", rate_hz=11025, layout="mono", pixels="yuvj420p"),
    Specimen("avi", "huffyuv", "adpcm_ima_wav", pixels="yuv422p"),
    Specimen("asf", "wmv2", "wmav2"),
    Specimen("asf", "wmv1", "wmav1"),
    Specimen("asf", "msmpeg4", "libmp3lame", size=(256, 128)),
    Specimen("mpg", "mpeg1video", "mp2", "B-frames", options=_TWO_B),
    Specimen("mpg", "mpeg2video", "ac3", "B-frames", rate_hz=48000, options=_TWO_B),
    Specimen("vob", "mpeg2video", "mp2", "B-frames", rate_hz=48000, options=_TWO_B),
    Specimen("ts", "libx264", "aac", "B-frames", rate_hz=48000, options=_B),
    Specimen("ts", "mpeg2video", "mp2", "B-frames", rate_hz=48000, options=_TWO_B),
    Specimen("ts", "libx265", "ac3", rate_hz=48000, options=_X265),
    Specimen("mkv", "libx264", "aac", "B-frames, open GOP", rate_hz=48000, options=_OPEN),
    Specimen("mkv", "libx265", "eac3", rate_hz=48000, options=_X265),
    Specimen("mkv", "libx265", "aac", "B-frames, open GOP", options=_X265_OPEN),
    Specimen("mkv", "mpeg1video", "mp2", "B-frames", options=_TWO_B),
    Specimen("mkv", "mpeg2video", "mp2", "B-frames", options=_TWO_B),
    Specimen("mkv", "msmpeg4", "libmp3lame", size=(256, 128)),
    Specimen("mkv", "libvpx-vp9", "vorbis", options=_QUICK),
    Specimen("mkv", "ffv1", "flac", rate_hz=48000),
    Specimen("mkv", "libvpx", "vorbis", options=_QUICK),
    Specimen("mkv", "mpeg4", "libmp3lame", "B-frames", options=_TWO_B),
    Specimen("mkv", "libsvtav1", "libopus", rate_hz=48000, options=_AV1),
    Specimen("webm", "libvpx", "vorbis", options=_QUICK),
    Specimen("webm", "libvpx", "vorbis", "hidden frames", options=_HIDDEN),
    Specimen("webm", "libvpx-vp9", "libopus", rate_hz=48000, options=_QUICK),
    Specimen("webm", "libvpx-vp9", "vorbis", "hidden frames", options=_HIDDEN),
    Specimen("webm", "libsvtav1", "libopus", rate_hz=48000, options=_AV1),
    Specimen("flv", "flv", "libmp3lame"),
    Specimen("flv", "flv", "pcm_s16le", rate_hz=11025, layout="mono"),
    Specimen("flv", "libx264", "aac", "B-frames", options=_B),
    Specimen("flv", "libx264", "libmp3lame", "B-frames", options=_B),
    Specimen("3gp", "h263", "aac", size=(128, 96), options=_NO_B),
)

AUDIOS = (
    *(Specimen("mp4", "libx264", "aac", "channels or rate", rate_hz=rate, layout="mono", options=_X264)
      for rate in (8000, 11025, 12000, 16000, 22050, 24000, 32000)),
    *(Specimen("mp4", "libx264", "aac", "channels or rate", rate_hz=48000, layout=layout, options=_X264)
      for layout in ("mono", "2.1", "4.0", "5.0", "5.1")),
    *(Specimen("mkv", "libx264", "libopus", "channels or rate", rate_hz=rate, layout="mono", options=_X264)
      for rate in (8000, 16000, 24000)),
    Specimen("mkv", "libx264", "libopus", "channels or rate", rate_hz=48000, layout="5.1", options=_X264),
    Specimen("mkv", "libx264", "ac3", "channels or rate", rate_hz=48000, layout="5.1", options=_X264),
    Specimen("mkv", "libx264", "pcm_f32le", "channels or rate", rate_hz=48000, layout="5.1", options=_X264),
    Specimen("mkv", "libx264", "libmp3lame", "channels or rate", rate_hz=32000, layout="mono", options=_X264),
    Specimen("mov", "libx264", "pcm_s16le", "channels or rate", rate_hz=8000, layout="mono", options=_X264),
    Specimen("mov", "libx264", "pcm_s16le", "channels or rate", rate_hz=48000, layout="5.1", options=_X264),
    Specimen("mpg", "mpeg1video", "mp2", "channels or rate", rate_hz=32000, layout="mono", options=_TWO_B),
    Specimen("ts", "libx264", "mp2", "channels or rate", rate_hz=16000, layout="mono", options=_X264),
    *(Specimen("flv", "flv", "libmp3lame", "channels or rate", rate_hz=rate, layout="mono")
      for rate in (11025, 22050)),
    Specimen("avi", "mpeg4", "pcm_s16le", "channels or rate", rate_hz=48000, layout="5.1", options=_NO_B),
    Specimen("avi", "mpeg4", "pcm_mulaw", "channels or rate", rate_hz=8000, layout="mono", options=_NO_B),
    *(Specimen("avi", "mpeg4", "libmp3lame", "channels or rate", rate_hz=rate, layout="mono", options=_NO_B)
      for rate in (8000, 16000, 24000, 48000)),
)  # fmt: skip

PROPERTIES = (
    *(Specimen("mp4", "libx264", "aac", f"{fps} fps", fps=fps, options=_B) for fps in (5, 12, 30, 50, 60)),
    Specimen("mpg", "mpeg1video", "mp2", "60 fps", fps=60, options=_TWO_B),
    Specimen("avi", "mpeg4", "libmp3lame", "5 fps", fps=5, options=_NO_B),
    Specimen("webm", "libvpx-vp9", "libopus", "60 fps", fps=60, rate_hz=48000, options=_QUICK),
    *(Specimen(ending, "libx264", "aac", "variable frame rate", uneven=True, options=_B)
      for ending in ("mp4", "mov", "mkv", "flv", "ts")),
    Specimen("webm", "libvpx-vp9", "libopus", "variable frame rate", uneven=True, rate_hz=48000, options=_QUICK),
    Specimen("avi", "mpeg4", "pcm_s16le", "variable frame rate", uneven=True, options=_NO_B),
    Specimen("avi", "libx264", "pcm_s16le", "variable frame rate, B-frames", uneven=True, options=_B, cause=_LATE_GAPS),
    *(Specimen(ending, "libx264", "aac", "frames 0.4 s later", video_start_s=0.4, options=_B)
      for ending in ("mp4", "mov", "mkv", "flv", "ts")),
    *(Specimen(ending, "libx264", "aac", "audio 0.3 s later", audio_start_s=0.3, options=_B)
      for ending in ("mp4", "mov", "mkv", "flv", "ts")),
    Specimen("webm", "libvpx-vp9", "libopus", "frames 0.4 s later", rate_hz=48000, video_start_s=0.4, options=_QUICK),
    Specimen("webm", "libvpx-vp9", "libopus", "audio 0.3 s later", rate_hz=48000, audio_start_s=0.3, options=_QUICK),
    Specimen("mpg", "mpeg2video", "mp2", "frames 0.4 s later", video_start_s=0.4, options=_TWO_B),
    Specimen("mpg", "mpeg1video", "mp2", "audio 0.3 s later", audio_start_s=0.3, options=_TWO_B),
    Specimen("mp4", "libx264", "aac", "turned by 90 degrees", size=(96, 64), turned=True, options=_B),
    Specimen("mov", "libx264", "pcm_s16le", "turned by 90 degrees", size=(96, 64), turned=True, options=_B),
    Specimen("mp4", "libx264", "aac", "65 x 47, yuv444", size=(65, 47), pixels="yuv444p", options=_B),
    Specimen("mp4", "libx264", "aac", "10-bit", pixels="yuv420p10le", options=_B),
    Specimen("mp4", "libx265", "aac", "10-bit", pixels="yuv420p10le", options=_X265),
    Specimen("mp4", "libx265", "aac", "10-bit, yuv444", pixels="yuv444p10le", options=_X265),
    Specimen("mp4", "libsvtav1", "aac", "10-bit", pixels="yuv420p10le", options={"preset": "6"}),
    Specimen("webm", "libvpx-vp9", "libopus", "yuv444", rate_hz=48000, pixels="yuv444p", options=_QUICK),
    Specimen("mp4", "libx264", "aac", "1 x 1", size=(1, 1), pixels="yuv444p", options={**_X264, "qp": "0"}),
    Specimen("mkv", "libx264", "aac", "1 x 1", size=(1, 1), pixels="yuv444p", options={**_X264, "qp": "0"}),
    Specimen("mkv", "ffv1", "flac", "1 x 1", size=(1, 1), pixels="bgr0"),
    Specimen("mkv", "ffv1", "flac", "63 x 33", size=(63, 33)),
    Specimen("mkv", "ffv1", "flac", "alpha", pixels="yuva420p"),
    Specimen("webm", "libvpx-vp9", "libopus", "alpha", rate_hz=48000, pixels="yuva420p", options=_QUICK),
    Specimen("mov", "prores_ks", "pcm_s16le", "10-bit, yuv444, alpha", pixels="yuva444p10le"),
    Specimen("mov", "png", "pcm_s16le", "alpha", pixels="rgba"),
    Specimen("webm", "libvpx", "libopus", "no duration", rate_hz=48000, options=_QUICK, muxing={"live": "1"}),
    Specimen("mkv", "libx264", "aac", "no duration", options=_B, muxing={"live": "1"}),
    Specimen("mp4", "libx264", "aac", "fragments", options=_B, muxing={"movflags": "frag_keyframe+empty_moov"}),
    Specimen("flv", "libx264", "aac", "no duration", options=_B, muxing={"flvflags": "no_duration_filesize"}),
)  # fmt: skip

_LONG = {"g": "60"}
_X265_LONG = {"preset": "veryfast", "x265-params": "log-level=none:bframes=3:keyint=60:scenecut=0"}
_REFRESH = {"preset": "veryfast", "x264-params": "intra-refresh=1:keyint=25:bframes=0"}

FAULTS = (
    Specimen("avi", "mpeg4", "libmp3lame", "placeholder packet, B-frames", fault="placeholder",
             options={**_LONG, **_TWO_B}),
    Specimen("avi", "libx264", "pcm_s16le", "placeholder packet, B-frames", fault="placeholder",
             options={**_LONG, **_B}),
    Specimen("mp4", "mpeg4", "aac", "false key frames", fault="false key frames", options={**_LONG, **_NO_B}),
    Specimen("mp4", "mpeg4", "aac", "false key frames, B-frames", fault="false key frames",
             options={**_LONG, **_TWO_B}),
    Specimen("mp4", "mpeg2video", "aac", "false key frames, B-frames", fault="false key frames",
             options={**_LONG, **_TWO_B}),
    Specimen("mp4", "libx265", "aac", "false key frames, B-frames", fault="false key frames", options=_X265_LONG),
    Specimen("3gp", "h263", "aac", "false key frames", size=(128, 96), fault="false key frames",
             options={**_LONG, **_NO_B}),
    *(Specimen("mp4", video, "aac", "stamped in decoding order, B-frames", fault="decoding order", options=options)
      for video, options in (("libx264", _B), ("libx265", _X265_LONG), ("mpeg4", _TWO_B), ("mpeg2video", _TWO_B))),
    Specimen("mkv", "libx264", "aac", "stamped in decoding order, B-frames", fault="decoding order", options=_B),
    Specimen("mp4", "libx264", "aac", "4:4:4 of an old x264", pixels="yuv444p", fault="old x264",
             options={"preset": "medium", "bf": "3", "crf": "35", "g": "25"}),
    Specimen("ts", "libx264", "aac", "a packet for each field", rate_hz=48000, fault="fields"),
    Specimen("mkv", "libx264", "aac", "a packet for each field", rate_hz=48000, fault="fields"),
    Specimen("mp4", "libx264", "aac", "no key frame but the first", options=_REFRESH),
)  # fmt: skip

AUDIO_FAULTS = (
    Specimen("mp4", "libx264", "aac", "jittered audio stamps, early", audio_fault="sawtooth", options=_B),
    *(Specimen(ending, "libx264", "aac", "jittered audio stamps", audio_fault="noise", options=_B)
      for ending in ("mp4", "mov", "mkv", "flv", "ts")),
    Specimen("mp4", "libx264", "libopus", "pre-skip of 0.5 s", rate_hz=48000, audio_fault="pre-skip", options=_B),
    Specimen("ts", "libx264", "aac", "most audio without stamps", audio_fault="sparse", options=_B),
    Specimen("mkv", "libx264", "aac", "audio without durations", audio_fault="no durations", options=_B),
    Specimen("avi", "mpeg4", "adpcm_ms", options=_NO_B),
)  # fmt: skip

ALL = (*CODECS, *AUDIOS, *PROPERTIES, *FAULTS, *AUDIO_FAULTS)
FEW = tuple(
    row
    for row in ALL
    if (row.container, row.video, row.note)
    in {
        ("mp4", "libx264", "B-frames"),
        ("avi", "msmpeg4", ""),
        ("asf", "wmv2", ""),
        ("vob", "mpeg2video", "B-frames"),
        ("mkv", "ffv1", "1 x 1"),
        ("mov", "libx264", "turned by 90 degrees"),
        ("webm", "libvpx", "no duration"),
        ("flv", "libx264", "variable frame rate"),
        ("ts", "libx264", "frames 0.4 s later"),
        ("mkv", "libx264", "audio 0.3 s later"),
        ("mp4", "libx265", "10-bit"),
        ("flv", "libx264", "B-frames"),
        ("mp4", "libx264", "jittered audio stamps, early"),
        ("mp4", "libx264", "pre-skip of 0.5 s"),
        ("ts", "libx264", "most audio without stamps"),
        ("avi", "libx264", "B-frames, open GOP"),
        ("avi", "mpeg4", "placeholder packet, B-frames"),
        ("mp4", "libx265", "false key frames, B-frames"),
        ("mp4", "libx264", "stamped in decoding order, B-frames"),
        ("ts", "libx264", "a packet for each field"),
    }
)
"""One file of each kind; takes a few seconds."""
