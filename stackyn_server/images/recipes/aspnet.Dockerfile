RUN command -v dotnet >/dev/null || stackyn-settle packages aspnetcore-runtime-@VERSION@
CMD ["dotnet", "--info"]
