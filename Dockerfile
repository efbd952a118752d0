# The torch wheel carries the CUDA libraries; the host brings the driver. In CI: docs/ci.md. By hand, as user 1000:
#   docker run --gpus all -v /path/to/imagenet:/data:ro -v "$PWD/out:/out" repaudit scan resnet50.a1_in1k --data imagenet-val:/data -o /out
FROM python:3.12-slim

ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    HF_HOME=/cache/huggingface \
    TORCH_HOME=/cache/torch \
    REPAUDIT_CACHE=/cache/repaudit \
    PYTHONUNBUFFERED=1

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY repaudit ./repaudit
COPY profiles ./profiles
COPY training ./training
RUN pip install --no-cache-dir .

RUN useradd --create-home --uid 1000 auditor \
    && mkdir -p /data /out /cache \
    && chown auditor /out /cache
USER auditor
WORKDIR /out
VOLUME ["/data", "/out", "/cache"]

ENTRYPOINT ["repaudit"]
CMD ["--help"]
