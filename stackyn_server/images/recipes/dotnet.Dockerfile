RUN command -v dotnet >/dev/null || stackyn-settle packages dotnet-sdk-@VERSION@
CMD ["dotnet", "--info"]
